import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { type Account, makeAccount } from "../harness/accounts.ts";
import { type Berth, startBerth, until } from "../harness/berth.ts";
import { Browser } from "../harness/browser.ts";
import { basic, bearer } from "../harness/caller.ts";
import { mustCall } from "../harness/federation.ts";
import { openMetadata } from "../harness/metadata.ts";

setDefaultTimeout(60_000);

const workers = 3;
const password = "correct horse battery staple";
let berth: Berth;

beforeAll(async () => {
  berth = await startBerth({ args: ["--workers", String(workers)] });
});

afterAll(async () => {
  await berth.stop();
  rmSync(berth.data, { recursive: true, force: true });
});

/** What every process answers, by the process's name; each request has a connection of its own. */
async function answers(path: string, authorization: string): Promise<Map<string, Set<number>>> {
  const ids = new Map<string, number>();
  for (let i = 0; i < 12 * workers; i++) {
    const reply = await fetch(berth.url + path, { headers: { authorization, connection: "close" }, keepalive: false });
    await reply.arrayBuffer();
    ids.set(reply.headers.get("x-request-id") as string, reply.status);
  }
  return until(() => {
    const found = new Map<string, Set<number>>();
    let lines = 0;
    for (const [, process, id] of berth.output().matchAll(/"process":"(api-\d)","requestId":"([^"]+)"/g)) {
      const status = ids.get(id as string);
      if (status === undefined) continue;
      lines++;
      found.set(process as string, (found.get(process as string) ?? new Set()).add(status));
    }
    return lines === ids.size && found.size === workers ? found : undefined;
  }, 5000);
}

const all = (status: number): unknown =>
  new Map(Array.from({ length: workers }, (_, i) => [`api-${i}`, new Set([status])]));

/** Every process takes the credential, then something happens, and within ten seconds none does. */
async function bites(
  authorization: string,
  change: () => Promise<unknown>,
  path = "/v1/projects/my-project",
): Promise<void> {
  const sorted = (found: Map<string, Set<number>>): unknown => new Map([...found].sort());
  expect(sorted(await answers(path, authorization))).toEqual(all(200));
  await change();
  const begun = performance.now();
  const after = sorted(await answers(path, authorization)) as Map<string, Set<number>>;
  expect(performance.now() - begun).toBeLessThan(10_000);
  for (const statuses of after.values()) for (const status of statuses) expect([401, 403]).toContain(status);
}

const call = <T>(method: string, path: string, body?: object): Promise<T> =>
  mustCall<T>(berth, method, path, ...(body === undefined ? [] : [body]));
const accountPath = ({ email }: Account): string => `/v1/projects/my-project/serviceAccounts/${email}`;
const keyPath = (account: Account): string =>
  `${accountPath(account)}/keys/${(JSON.parse(account.key) as { private_key_id: string }).private_key_id}`;

interface Policy {
  bindings: { role: string; members: string[] }[];
}

async function give(member: string): Promise<void> {
  const policy = await call<Policy>("POST", "/v1/projects/my-project:getIamPolicy", {});
  const bindings = [...policy.bindings, { role: "roles/viewer", members: [member] }];
  await call("POST", "/v1/projects/my-project:setIamPolicy", { policy: { ...policy, bindings } });
}

async function take(member: string): Promise<void> {
  const policy = await call<Policy>("POST", "/v1/projects/my-project:getIamPolicy", {});
  const bindings = policy.bindings.map((binding) => ({
    ...binding,
    members: binding.members.filter((each) => each !== member),
  }));
  await call("POST", "/v1/projects/my-project:setIamPolicy", { policy: { ...policy, bindings } });
}

async function viewer(name: string): Promise<Account> {
  const account = await makeAccount(berth, name);
  await give(`serviceAccount:${account.email}`);
  return account;
}

/** An access token of an account, by impersonation. */
async function accessTokenOf({ email }: Account): Promise<string> {
  const owner = "serviceAccount:owner@my-project.iam.gserviceaccount.com";
  const bindings = [{ role: "roles/iam.serviceAccountTokenCreator", members: [owner] }];
  await call("POST", `/v1/projects/my-project/serviceAccounts/${email}:setIamPolicy`, { policy: { bindings } });
  const path = `/v1/projects/-/serviceAccounts/${email}:generateAccessToken`;
  const { accessToken } = await call<{ accessToken: string }>("POST", path, {
    scope: ["https://www.googleapis.com/auth/cloud-platform"],
  });
  return accessToken;
}

interface UserTokens {
  access_token: string;
  refresh_token: string;
}

/** A local user with tokens, got on the sign-in page. */
async function signedIn(name: string): Promise<UserTokens & { email: string }> {
  const email = `${name}@example.com`;
  await call("POST", "/berth/v1/users", { email, password });
  await give(`user:${email}`);
  const reply = await askToken(await codeOf(email));
  return { ...((await reply.json()) as UserTokens), email };
}

/** A code from the sign-in page, as the form that it is given in for tokens. */
async function codeOf(email: string): Promise<Record<string, string>> {
  const verifier = randomBytes(32).toString("base64url");
  const target = "http://127.0.0.1:9/done";
  const parameters = new URLSearchParams({
    client_id: "berth-cli",
    redirect_uri: target,
    response_type: "code",
    scope: "https://www.googleapis.com/auth/cloud-platform",
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
  });
  const browser = new Browser();
  const page = await browser.open(`${berth.url}/o/oauth2/v2/auth?${parameters}`);
  const end = await browser.submit(page, { email, password }, (url) => url.startsWith(target));
  return {
    grant_type: "authorization_code",
    client_id: "berth-cli",
    redirect_uri: target,
    code: new URL(end.url).searchParams.get("code") as string,
    code_verifier: verifier,
  };
}

function askToken(form: Record<string, string>): Promise<Response> {
  return fetch(`${berth.url}/token`, { method: "POST", body: new URLSearchParams(form) });
}

describe("on every process within ten seconds", () => {
  test("a key that was deleted", async () => {
    const account = await viewer("deleted-key");
    await bites(basic(account.key), () => call("DELETE", keyPath(account)));
  });

  test("a key that was disabled", async () => {
    const account = await viewer("disabled-key");
    await bites(basic(account.key), () => call("POST", `${keyPath(account)}:disable`, {}));
  });

  test("an access token made from a key that was deleted", async () => {
    const account = await viewer("signing-key");
    const { JWT } = await import("google-auth-library");
    const file = JSON.parse(account.key) as { client_email: string; private_key: string; private_key_id: string };
    const scopes = ["https://www.googleapis.com/auth/cloud-platform"];
    const jwt = new JWT({ email: file.client_email, key: file.private_key, keyId: file.private_key_id, scopes });
    jwt.useJWTAccessWithScope = true;
    const authorization = (await jwt.getRequestHeaders()).get("authorization") as string;
    await bites(authorization, () => call("DELETE", keyPath(account)));
  });

  test("an account that was disabled", async () => {
    const account = await viewer("disabled-account");
    await bites(bearer(await accessTokenOf(account)), () => call("POST", `${accountPath(account)}:disable`, {}));
  });

  test("an account that was deleted", async () => {
    const account = await viewer("deleted-account");
    await bites(bearer(await accessTokenOf(account)), () => call("DELETE", accountPath(account)));
  });

  test("a token that was revoked", async () => {
    const token = await accessTokenOf(await viewer("revoked-token"));
    await bites(bearer(token), async () => {
      const reply = await fetch(`${berth.url}/revoke`, { method: "POST", body: new URLSearchParams({ token }) });
      expect(reply.status).toBe(200);
    });
  });

  test("a binding that was removed", async () => {
    const account = await viewer("removed-binding");
    await bites(basic(account.key), () => take(`serviceAccount:${account.email}`));
  });

  test("a membership that was removed", async () => {
    const account = await makeAccount(berth, "removed-member");
    const group = "/berth/v1/groups/team@example.com";
    const member = `serviceAccount:${account.email}`;
    await call("POST", "/berth/v1/groups", { email: "team@example.com" });
    await call("POST", `${group}:addMember`, { member });
    await give("group:team@example.com");
    await bites(basic(account.key), () => call("POST", `${group}:removeMember`, { member }));
  });

  test("a user who was disabled", async () => {
    const { access_token, email } = await signedIn("disabled");
    await bites(bearer(access_token), () => call("PATCH", `/berth/v1/users/${email}`, { disabled: true }));
  });

  test("a user whose password was changed", async () => {
    const { access_token, refresh_token, email } = await signedIn("changed");
    const change = { password: `${password} 2` };
    await bites(bearer(access_token), () => call("POST", `/berth/v1/users/${email}:setPassword`, change));
    const form = { grant_type: "refresh_token", client_id: "berth-cli", refresh_token };
    const reply = await fetch(`${berth.url}/token`, { method: "POST", body: new URLSearchParams(form) });
    expect([reply.status, await reply.json()]).toEqual([400, expect.objectContaining({ error: "invalid_grant" })]);
  });

  test("a refresh token that was revoked, with what was made of it", async () => {
    const { access_token, refresh_token } = await signedIn("refreshed");
    await bites(bearer(access_token), async () => {
      const body = new URLSearchParams({ token: refresh_token });
      expect((await fetch(`${berth.url}/revoke`, { method: "POST", body })).status).toBe(200);
    });
  });

  test("a registry token whose key was deleted", async () => {
    const account = await viewer("registry-token");
    const reply = await fetch(`${berth.url}/v2/token`, { headers: { authorization: basic(account.key) } });
    const { token } = (await reply.json()) as { token: string };
    await bites(bearer(token), () => call("DELETE", keyPath(account)), "/v2/");
  });
});

test("credentials of a project do not reach the one that has its id after it", async () => {
  await call("POST", "/v1/projects", { projectId: "phoenix" });
  const account = await makeAccount(berth, "ghost", "phoenix");
  const outsider = await makeAccount(berth, "outsider");
  const grant = async (): Promise<void> => {
    const members = [`serviceAccount:${outsider.email}`];
    const policy = await call<Policy>("POST", "/v1/projects/phoenix:getIamPolicy", {});
    const bindings = [...policy.bindings, { role: "roles/viewer", members }];
    await call("POST", "/v1/projects/phoenix:setIamPolicy", { policy: { ...policy, bindings } });
  };
  await grant();
  const token = await accessTokenOf(outsider);
  const sees = async (authorization: string): Promise<number> =>
    (await fetch(`${berth.url}/v1/projects/phoenix`, { headers: { authorization } })).status;
  expect([await sees(bearer(token)), await sees(basic(outsider.key))]).toEqual([200, 200]);
  await call("DELETE", "/v1/projects/phoenix");

  // The thirty days go by while the server is down.
  const { data } = berth;
  await berth.terminate();
  const database = openMetadata(data);
  database.run("UPDATE projects SET delete_requested_at = ? WHERE id = 'phoenix'", [Date.now() - 31 * 86_400_000]);
  database.close();
  berth = await startBerth({ data, args: ["--workers", String(workers)] });
  await until(async () => {
    const reply = await berth.fetch("/v1/projects", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ projectId: "phoenix" }),
    });
    return reply.ok || undefined;
  });
  await grant();
  // The same account with the same right: but its token was made when the id was another project's.
  expect(await sees(bearer(token))).toBe(403);
  expect(await sees(bearer(await accessTokenOf(outsider)))).toBe(200);
  expect(await sees(basic(account.key))).toBe(401);
});

test("a code that comes several times at once is good once at the most, and what it gave ends", async () => {
  const { email } = await signedIn("hurried");
  for (let round = 0; round < 5; round++) {
    const form = await codeOf(email);
    const replies = await Promise.all(Array.from({ length: 6 }, () => askToken(form)));
    const given = replies.filter(({ ok }) => ok);
    expect(given.length).toBeLessThanOrEqual(1);
    for (const reply of replies) if (!reply.ok) expect(await reply.json()).toMatchObject({ error: "invalid_grant" });
    const [only] = given;
    if (only === undefined) continue;
    const { refresh_token } = (await only.json()) as UserTokens;
    if (refresh_token === undefined) continue;
    const refreshed = await askToken({ grant_type: "refresh_token", client_id: "berth-cli", refresh_token });
    expect([refreshed.status, await refreshed.json()]).toMatchObject([400, { error: "invalid_grant" }]);
  }
});

test("whom an audit exempts is renamed when the account is deleted, and again when it is back", async () => {
  const account = await makeAccount(berth, "exempt");
  const member = `serviceAccount:${account.email}`;
  interface AuditPolicy {
    auditConfigs?: { auditLogConfigs: { exemptedMembers?: string[] }[] }[];
  }
  const read = async (): Promise<AuditPolicy> => call("POST", "/v1/projects/my-project:getIamPolicy", {});
  const exempted = async (): Promise<string[] | undefined> =>
    (await read()).auditConfigs?.[0]?.auditLogConfigs[0]?.exemptedMembers;
  const auditLogConfigs = [{ logType: "DATA_READ", exemptedMembers: [member] }];
  const auditConfigs = [{ service: "storage.googleapis.com", auditLogConfigs }];
  const policy = { ...(await read()), auditConfigs };
  await call("POST", "/v1/projects/my-project:setIamPolicy", { policy, updateMask: "auditConfigs" });
  expect(await exempted()).toEqual([member]);
  const path = `/v1/projects/my-project/serviceAccounts/${account.email}`;
  const { uniqueId } = await call<{ uniqueId: string }>("GET", path);
  await call("DELETE", path);
  expect(await exempted()).toEqual([`deleted:${member}?uid=${uniqueId}`]);
  await call("POST", `/v1/projects/my-project/serviceAccounts/${uniqueId}:undelete`);
  expect(await exempted()).toEqual([member]);
});
