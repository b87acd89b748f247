import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { createHash, createPrivateKey, randomBytes, sign } from "node:crypto";
import { rmSync } from "node:fs";
import { type Account, makeAccount } from "../harness/accounts.ts";
import { type Berth, startBerth } from "../harness/berth.ts";
import { bind, bindingOf } from "../harness/bindings.ts";
import { Browser } from "../harness/browser.ts";
import { basic, bearer } from "../harness/caller.ts";
import { exchange, makePool, mustCall, pools } from "../harness/federation.ts";
import { startTokenIssuer, type TokenIssuer } from "../harness/token-issuer.ts";
import { encode } from "./forged-tokens.ts";
import { openMetadata } from "../harness/metadata.ts";

// What was made from a credential ends with it, however long the way from it.

setDefaultTimeout(60_000);

const scope = "https://www.googleapis.com/auth/cloud-platform";
const password = "correct horse battery staple";
let berth: Berth;
let bot: Account;
let issuer: TokenIssuer;

beforeAll(async () => {
  issuer = await startTokenIssuer();
  berth = await startBerth({ args: ["--egress-allow", "127.0.0.1,localhost"] });
  bot = await makeAccount(berth, "bot");
  await bind(berth, "/v1/projects/my-project", bindingOf("roles/viewer", bot.email));
  // The bot may act as itself, as a grant on the whole project would have it.
  await bind(berth, botPath, bindingOf("roles/iam.serviceAccountTokenCreator", bot.email));
});

afterAll(async () => {
  await berth.stop();
  await issuer.stop();
  rmSync(berth.data, { recursive: true, force: true });
});

const botPath = "/v1/projects/my-project/serviceAccounts/bot@my-project.iam.gserviceaccount.com";
const call = <T>(method: string, path: string, body?: object): Promise<T> =>
  mustCall<T>(berth, method, path, ...(body === undefined ? [] : [body]));

async function asBot(authorization: string, lifetime = "3600s"): Promise<Response> {
  return fetch(`${berth.url}${botPath}:generateAccessToken`, {
    method: "POST",
    headers: { authorization, "content-type": "application/json" },
    body: JSON.stringify({ scope: [scope], lifetime }),
  });
}

async function botToken(authorization: string, lifetime?: string): Promise<string> {
  const reply = await asBot(authorization, lifetime);
  expect(reply.status).toBe(200);
  return bearer(((await reply.json()) as { accessToken: string }).accessToken);
}

const sees = async (authorization: string): Promise<number> =>
  (await fetch(`${berth.url}/v1/projects/my-project`, { headers: { authorization } })).status;

const tokenCreator = async (member: string): Promise<void> =>
  bind(berth, botPath, { role: "roles/iam.serviceAccountTokenCreator", members: [member] });

interface Tokens {
  access_token: string;
  refresh_token: string;
}

/** A code for a user who signs in on the page; and what it is exchanged with. */
async function codeOf(email: string): Promise<Record<string, string>> {
  const verifier = randomBytes(32).toString("base64url");
  const target = "http://127.0.0.1:9/done";
  const challenge = createHash("sha256").update(verifier).digest("base64url");
  const asked = { client_id: "berth-cli", redirect_uri: target, response_type: "code", scope };
  const query = new URLSearchParams({ ...asked, code_challenge: challenge, code_challenge_method: "S256" });
  const browser = new Browser();
  const page = await browser.open(`${berth.url}/o/oauth2/v2/auth?${query}`);
  const end = await browser.submit(page, { email, password }, (url) => url.startsWith(target));
  const code = new URL(end.url).searchParams.get("code") as string;
  const grant = { grant_type: "authorization_code", client_id: "berth-cli", redirect_uri: target };
  return { ...grant, code, code_verifier: verifier };
}

const redeem = (form: Record<string, string>): Promise<Response> =>
  fetch(`${berth.url}/token`, { method: "POST", body: new URLSearchParams(form) });

async function signedIn(name: string): Promise<Tokens & { email: string }> {
  const email = `${name}@example.com`;
  await call("POST", "/berth/v1/users", { email, password });
  const tokens = (await (await redeem(await codeOf(email))).json()) as Tokens;
  return { ...tokens, email };
}

test.each([
  ["disabled", (email: string) => call("PATCH", `/berth/v1/users/${email}`, { disabled: true })],
  ["deleted", (email: string) => call("DELETE", `/berth/v1/users/${email}`)],
  ["renewed", (email: string) => call("POST", `/berth/v1/users/${email}:setPassword`, { password: `${password} 2` })],
] as const)("a person who is %s: what they made as an account, and what was made of that", async (name, end) => {
  const { access_token, email } = await signedIn(name);
  await tokenCreator(`user:${email}`);
  const first = await botToken(bearer(access_token));
  const second = await botToken(first);
  expect([await sees(first), await sees(second)]).toEqual([200, 200]);
  await end(email);
  expect([await sees(first), await sees(second), (await asBot(second)).status]).toEqual([401, 401, 401]);
});

test.each([
  ["unused", (email: string) => call("POST", `/berth/v1/users/${email}:setPassword`, { password: `${password} 2` })],
  [
    "over",
    async (email: string) => {
      await call("PATCH", `/berth/v1/users/${email}`, { disabled: true });
      await call("PATCH", `/berth/v1/users/${email}`, { disabled: false });
    },
  ],
] as const)("a code that was kept back is nothing once the sign-in is %s", async (name, end) => {
  const { email } = await signedIn(name);
  const code = await codeOf(email);
  await end(email);
  expect((await redeem(code)).status).toBe(400);
});

test("who is let in again signs in again", async () => {
  const { access_token, refresh_token, email } = await signedIn("back");
  await call("PATCH", `/berth/v1/users/${email}`, { disabled: true });
  await call("PATCH", `/berth/v1/users/${email}`, { disabled: false });
  const me = await fetch(`${berth.url}/berth/v1/me`, { headers: { authorization: bearer(access_token) } });
  expect(me.status).toBe(401);
  const refreshed = await redeem({ grant_type: "refresh_token", client_id: "berth-cli", refresh_token });
  expect(refreshed.status).toBe(400);
});

test("a pool that is disabled: what its jobs made as an account", async () => {
  const pool = await makePool(berth, "jobs", {
    issuerUri: issuer.url,
    attributeMapping: { "google.subject": "assertion.sub" },
  });
  const subject = await issuer.sign({ sub: "job", aud: `https://iam.googleapis.com/${pool}/providers/provider` });
  const { body } = await exchange(berth, pool, subject);
  await tokenCreator(`principal://iam.googleapis.com/${pool}/subject/job`);
  const token = await botToken(bearer(body.access_token));
  expect(await sees(token)).toBe(200);
  await call("PATCH", `${pools}/jobs?updateMask=disabled`, { disabled: true });
  expect(await sees(token)).toBe(401);
});

test("a token that was revoked and has ended since: what was made from it stays ended", async () => {
  const short = await botToken(basic(bot.key), "2s");
  const long = await botToken(short);
  const body = new URLSearchParams({ token: short.replace("Bearer ", "") });
  expect((await fetch(`${berth.url}/revoke`, { method: "POST", body })).status).toBe(200);
  expect(await sees(long)).toBe(401);
  // An hour and more goes by while the server is down; the revocation is looked after at the start.
  const { data } = berth;
  await berth.terminate();
  const database = openMetadata(data);
  const { left } = database.get("SELECT min(expires_at) AS left FROM revoked_tokens") as { left: number };
  database.close();
  expect(left - Date.now()).toBeGreaterThan(12 * 3600_000);
  berth = await startBerth({ data, args: ["--egress-allow", "127.0.0.1,localhost"] });
  expect(await sees(long)).toBe(401);
});

test("a chain of tokens has an end", async () => {
  let token = basic(bot.key);
  for (let i = 0; i < 30; i++) {
    const reply = await asBot(token);
    if (reply.status !== 200) {
      expect([reply.status, await reply.text()]).toEqual([400, expect.stringContaining("sign in anew")]);
      expect(i).toBeGreaterThan(10);
      return;
    }
    token = bearer(((await reply.json()) as { accessToken: string }).accessToken);
  }
  throw new Error("the chain has no end");
});

test("a registry token ends nothing but itself", async () => {
  const parent = await botToken(basic(bot.key));
  const made = await fetch(`${berth.url}/v2/token?scope=repository:my-project/app:pull`, {
    headers: { authorization: parent },
  });
  const { token } = (await made.json()) as { token: string };
  const revoked = await fetch(`${berth.url}/revoke`, { method: "POST", body: new URLSearchParams({ token }) });
  expect([revoked.status, await sees(parent)]).toEqual([400, 200]);
});

test("a code that comes a second time ends what it was given for", async () => {
  const email = "twice@example.com";
  await call("POST", "/berth/v1/users", { email, password });
  const form = await codeOf(email);
  const { access_token, refresh_token } = (await (await redeem(form)).json()) as Tokens;
  const me = async (): Promise<number> =>
    (await fetch(`${berth.url}/berth/v1/me`, { headers: { authorization: bearer(access_token) } })).status;
  expect(await me()).toBe(200);
  expect((await redeem(form)).status).toBe(400);
  expect(await me()).toBe(401);
  expect((await redeem({ grant_type: "refresh_token", client_id: "berth-cli", refresh_token })).status).toBe(400);
});

test("nobody signs ahead of time, and what the server signs for an account is good for two weeks", async () => {
  const iat = Math.floor(Date.now() / 1000) + 11 * 3600;
  const ahead = await berth.fetch(`${botPath}:signJwt`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ payload: JSON.stringify({ iat, exp: iat + 3600 }) }),
  });
  expect(ahead.status).toBe(403);
  await tokenCreator("serviceAccount:owner@my-project.iam.gserviceaccount.com");
  const signed = await berth.fetch(`${botPath}:signJwt`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ payload: JSON.stringify({ iat, exp: iat + 3600 }) }),
  });
  expect([signed.status, await signed.text()]).toEqual([400, expect.stringContaining("iat")]);
  await call("POST", `${botPath}:signBlob`, { payload: Buffer.from("x").toString("base64") });
  const { keys } = await call<{ keys: { keyType: string; validBeforeTime: string }[] }>("GET", `${botPath}/keys`);
  const system = keys.filter(({ keyType }) => keyType === "SYSTEM_MANAGED");
  expect(system).toHaveLength(1);
  const days = (Date.parse(system[0]?.validBeforeTime ?? "") - Date.now()) / 86_400_000;
  expect(days).toBeWithin(13, 14.1);
});

test("what another was sent is no credential here, whatever the request calls the server", async () => {
  const file = JSON.parse(bot.key) as { private_key: string; private_key_id: string };
  const now = Math.floor(Date.now() / 1000);
  const signedFor = (aud: string, more: object = {}): string => {
    const claims = { iss: bot.email, sub: bot.email, aud, iat: now, exp: now + 3600, ...more };
    const body = `${encode({ alg: "RS256", typ: "JWT", kid: file.private_key_id })}.${encode(claims)}`;
    return `${body}.${sign("sha256", Buffer.from(body), createPrivateKey(file.private_key)).toString("base64url")}`;
  };
  for (const host of ["partner.example", "partner.example:443"]) {
    const assertion = signedFor(`http://${host}/token`, { scope });
    const form = { grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer", assertion };
    const reply = await fetch(`${berth.url}/token`, {
      method: "POST",
      headers: { host },
      body: new URLSearchParams(form),
    });
    expect(reply.status).toBe(400);
    const own = signedFor(`https://partner.example/`);
    const used = await fetch(`${berth.url}/v1/projects`, { headers: { host, authorization: bearer(own) } });
    expect(used.status).toBe(401);
  }
});

test("a chain of delegates tells nothing to who may not begin it", async () => {
  const told = async (target: string, authorization?: string): Promise<[number, string]> => {
    const reply = await fetch(`${berth.url}/v1/projects/-/serviceAccounts/${target}:generateAccessToken`, {
      method: "POST",
      headers: { "content-type": "application/json", ...(authorization && { authorization }) },
      body: JSON.stringify({ scope: [scope], delegates: [`projects/-/serviceAccounts/${bot.email}`] }),
    });
    return [reply.status, (await reply.text()).replaceAll(target, "TARGET")];
  };
  const stranger = await makeAccount(berth, "stranger");
  const missing = "nobody@my-project.iam.gserviceaccount.com";
  expect((await told(bot.email))[0]).toBe(401);
  expect(await told(bot.email)).toEqual(await told(missing));
  expect(await told(bot.email, basic(stranger.key))).toEqual(await told(missing, basic(stranger.key)));
});

test("a token for looking gets no token for acting", async () => {
  const readOnly = await fetch(`${berth.url}${botPath}:generateAccessToken`, {
    method: "POST",
    headers: { authorization: basic(bot.key), "content-type": "application/json" },
    body: JSON.stringify({ scope: [`${scope}.read-only`] }),
  });
  const { accessToken } = (await readOnly.json()) as { accessToken: string };
  expect(await sees(bearer(accessToken))).toBe(200);
  expect((await asBot(bearer(accessToken))).status).toBe(403);
});

test("an account that comes back is in its groups again", async () => {
  const account = await makeAccount(berth, "phoenix");
  const member = `serviceAccount:${account.email}`;
  await call("POST", "/berth/v1/groups", { email: "nest@example.com" });
  await call("POST", "/berth/v1/groups/nest@example.com:addMember", { member });
  await bind(berth, "/v1/projects/my-project", { role: "roles/viewer", members: ["group:nest@example.com"] });
  const path = `/v1/projects/my-project/serviceAccounts/${account.email}`;
  const { uniqueId } = await call<{ uniqueId: string }>("GET", path);
  expect(await sees(basic(account.key))).toBe(200);
  await call("DELETE", path);
  await call("POST", `/v1/projects/my-project/serviceAccounts/${uniqueId}:undelete`, {});
  expect(await sees(basic(account.key))).toBe(200);
});

test("a person changes their own password: what they were signed in with is over", async () => {
  const { access_token, email } = await signedIn("changing");
  const authorization = bearer(access_token);
  const change = (oldPassword: string, newPassword: string): Promise<Response> =>
    fetch(`${berth.url}/berth/v1/me:changePassword`, {
      method: "POST",
      headers: { authorization, "content-type": "application/json" },
      body: JSON.stringify({ oldPassword, newPassword }),
    });
  expect((await change("wrong", `${password} new`)).status).toBe(403);
  expect((await change(password, `${password} new`)).status).toBe(200);
  const me = await fetch(`${berth.url}/berth/v1/me`, { headers: { authorization } });
  expect(me.status).toBe(401);
  // The page asks again.
  expect((await codeOf(email)).code).toBeNull();
});
