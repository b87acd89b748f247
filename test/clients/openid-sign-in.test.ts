import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { type Berth, startBerth } from "../harness/berth.ts";
import { Browser, type Page } from "../harness/browser.ts";
import { callApi, mustCall } from "../harness/federation.ts";
import { type OpenIdProvider, startOpenIdProvider } from "../harness/openid-provider.ts";
import { withOrganizationRole } from "../harness/organization.ts";
import { makeScratch } from "../harness/scratch.ts";

setDefaultTimeout(30_000);

const scratch = makeScratch();
let provider: OpenIdProvider;
let berth: Berth;

/** The provider must know where it sends people back to before the server is there. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

beforeAll(async () => {
  const port = await freePort();
  const clientSecret = randomBytes(16).toString("hex");
  const secretFile = join(scratch.path, "client-secret");
  await Bun.write(secretFile, clientSecret);
  provider = await startOpenIdProvider({
    clientId: "berth",
    clientSecret,
    redirectUri: `http://localhost:${port}/signin/corp/callback`,
  });
  berth = await startBerth({
    port,
    config: [
      `egress: { allow: ["127.0.0.1"] }`,
      "sign-in:",
      "  providers:",
      `    - { name: corp, issuer: "${provider.issuer}", client-id: berth, client-secret-file: "${secretFile}",`,
      "        groups-domain: corp.example.com, email-domains: [example.com] }",
    ].join("\n"),
  });
});

afterAll(async () => {
  await berth.stop();
  await provider.stop();
  await scratch.remove();
});

const callback = "http://127.0.0.1:9/done";
const isDone = (url: string): boolean => url.startsWith(callback);

/** Signs in as a program asks for it, at the provider; answers where the browser ends. */
async function signIn(name: string, verifier: string, browser = new Browser()): Promise<Page> {
  const parameters = new URLSearchParams({
    client_id: "berth-cli",
    redirect_uri: callback,
    response_type: "code",
    scope: "openid https://www.googleapis.com/auth/cloud-platform",
    state: "of-the-program",
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
  });
  const first = await browser.open(`http://${berth.host}/o/oauth2/v2/auth?${parameters}`);
  const link = /href="(\/signin\/corp[^"]*)"/.exec(first.html)?.[1]?.replaceAll("&amp;", "&") as string;
  const login = await browser.open(new URL(link, first.url).href, isDone);
  const consent = await browser.submit(login, { login: name, password: "any" }, isDone);
  return isDone(consent.url) || !consent.html.includes("<form") ? consent : browser.submit(consent, {}, isDone);
}

interface Tokens {
  access_token: string;
  refresh_token: string;
}

async function tokensOf(name: string): Promise<Tokens> {
  const verifier = randomBytes(32).toString("base64url");
  const end = new URL((await signIn(name, verifier)).url);
  expect(end.searchParams.get("state")).toBe("of-the-program");
  const form = {
    grant_type: "authorization_code",
    client_id: "berth-cli",
    redirect_uri: callback,
    code: end.searchParams.get("code") as string,
    code_verifier: verifier,
  };
  const reply = await fetch(`${berth.url}/token`, { method: "POST", body: new URLSearchParams(form) });
  expect(reply.status).toBe(200);
  return (await reply.json()) as Tokens;
}

const projectsSeenBy = async ({ access_token }: Tokens): Promise<string[]> => {
  const reply = await fetch(`${berth.url}/v1/projects`, { headers: { authorization: `Bearer ${access_token}` } });
  const { projects = [] } = (await reply.json()) as { projects?: { projectId: string }[] };
  return projects.map(({ projectId }) => projectId);
};

test("a person signs in, and is in the groups that the provider names", async () => {
  provider.people.set("ann", { email: "ann@example.com", email_verified: true, name: "Ann", groups: ["Dev Ops"] });
  const tokens = await tokensOf("ann");
  const info = await fetch(`${berth.url}/tokeninfo?access_token=${tokens.access_token}`);
  expect(await info.json()).toMatchObject({ email: "ann@example.com" });
  expect(await projectsSeenBy(tokens)).toEqual([]);
  const policy = await mustCall<{ bindings: object[] }>(berth, "POST", "/v1/projects/my-project:getIamPolicy", {});
  const viewer = { role: "roles/viewer", members: ["group:dev+20ops@corp.example.com"] };
  const bindings = [...policy.bindings, viewer];
  await mustCall(berth, "POST", "/v1/projects/my-project:setIamPolicy", { policy: { ...policy, bindings } });
  expect(await projectsSeenBy(tokens)).toEqual(["my-project"]);
});

test("who has left a group there is out of it with the next sign-in", async () => {
  provider.people.set("ann", { email: "ann@example.com", email_verified: true, groups: ["other"] });
  const before = await tokensOf("ann");
  expect(await projectsSeenBy(before)).toEqual([]);
  provider.people.set("ann", { email: "ann@example.com", email_verified: true, groups: ["other", "Dev Ops"] });
  expect(await projectsSeenBy(await tokensOf("ann"))).toEqual(["my-project"]);
});

test("a new address at the provider is the same person's; another person does not get it", async () => {
  const path = "/v1/projects/moved-project";
  await mustCall(berth, "POST", "/v1/projects", { projectId: "moved-project" });
  const read = () => mustCall<{ bindings: { members: string[] }[] }>(berth, "POST", `${path}:getIamPolicy`, {});
  const policy = await read();
  const bindings = [...policy.bindings, { role: "roles/viewer", members: ["user:ann@example.com"] }];
  await mustCall(berth, "POST", `${path}:setIamPolicy`, { policy: { ...policy, bindings } });
  provider.people.set("ann", { email: "ann.smith@example.com", email_verified: true, groups: ["Dev Ops"] });
  // What was hers by name is so under the new one, and not the next holder's of the old one.
  expect((await projectsSeenBy(await tokensOf("ann"))).sort()).toEqual(["moved-project", "my-project"]);
  expect((await read()).bindings.flatMap(({ members }) => members)).not.toContain("user:ann@example.com");
  provider.people.set("newcomer", { email: "ann@example.com", email_verified: true });
  expect(await projectsSeenBy(await tokensOf("newcomer"))).toEqual([]);
  const users = await mustCall<{ users: { email: string }[] }>(berth, "GET", "/berth/v1/users");
  const theirs = users.users.map(({ email }) => email).filter((email) => email.startsWith("ann"));
  expect(theirs).toEqual(["ann.smith@example.com", "ann@example.com"]);
  provider.people.set("eve", { email: "ann.smith@example.com", email_verified: true });
  const page = await signIn("eve", randomBytes(32).toString("base64url"));
  expect([page.status, page.html]).toEqual([400, expect.stringContaining("is another user")]);
});

test("some are not let in", async () => {
  await mustCall(berth, "POST", "/berth/v1/users", { email: "local@example.com", password: "correct horse battery 1" });
  const cases: [string, Parameters<typeof provider.people.set>[1], string][] = [
    ["unverified", { email: "u@example.com", email_verified: false }, "has not verified"],
    ["foreign", { email: "f@example.org", email_verified: true }, "are not taken here"],
    ["local", { email: "local@example.com", email_verified: true }, "another user"],
    // The sign of the Kelvin becomes a k in small letters.
    ["kelvin", { email: "\u212Aelvin@example.com", email_verified: true }, "no e-mail address"],
    ["two", { email: "x@example.com@evil.example", email_verified: true }, "no e-mail address"],
  ];
  for (const [name, person, reason] of cases) {
    provider.people.set(name, person);
    const page = await signIn(name, randomBytes(32).toString("base64url"));
    expect([name, page.status, page.html]).toEqual([name, 400, expect.stringContaining(reason)]);
  }
  await mustCall(berth, "PATCH", "/berth/v1/users/ann.smith@example.com", { disabled: true });
  const page = await signIn("ann", randomBytes(32).toString("base64url"));
  expect([page.status, page.html]).toEqual([400, expect.stringContaining("disabled")]);
  await mustCall(berth, "PATCH", "/berth/v1/users/ann.smith@example.com", { disabled: false });
});

test("groups of other domains are not the provider's to give", async () => {
  await mustCall(berth, "POST", "/berth/v1/groups", { email: "admins@example.com" });
  provider.people.set("bob", {
    email: "bob@example.com",
    email_verified: true,
    groups: ["admins@example.com", "x@corp.example.com"],
  });
  await tokensOf("bob");
  const members = async (group: string): Promise<string> =>
    JSON.stringify((await callApi(berth, "GET", `/berth/v1/groups/${group}/members`)).body);
  expect(await members("admins@example.com")).not.toContain("bob");
  expect(await members("x@corp.example.com")).toContain("bob");
});

test("nobody is sent to the provider who has not been asked on the page", async () => {
  const parameters = new URLSearchParams({
    client_id: "berth-cli",
    redirect_uri: callback,
    response_type: "code",
    scope: "openid",
    code_challenge: "a".repeat(43),
    code_challenge_method: "S256",
  });
  const page = await new Browser().open(`http://${berth.host}/o/oauth2/v2/auth?${parameters}`);
  const link = /href="(\/signin\/corp[^"]*)"/.exec(page.html)?.[1]?.replaceAll("&amp;", "&") as string;
  // A link that somebody else has made, and one of another browser's page.
  for (const path of [`/signin/corp?${parameters}`, link]) {
    const refused = await new Browser().open(`http://${berth.host}${path}`, isDone);
    expect([refused.status, refused.html]).toEqual([400, expect.stringContaining("not opened in this browser")]);
  }
});

test("a callback that this browser did not ask for is refused", async () => {
  const attacker = new Browser();
  provider.people.set("eve", { email: "eve@example.com", email_verified: true });
  // The attacker stops at the callback, and has the victim's browser open it.
  const isCallback = (url: string): boolean => url.includes("/signin/corp/callback");
  const parameters = new URLSearchParams({
    client_id: "berth-cli",
    redirect_uri: callback,
    response_type: "code",
    scope: "openid",
    code_challenge: "a".repeat(43),
    code_challenge_method: "S256",
  });
  const first = await attacker.open(`http://${berth.host}/o/oauth2/v2/auth?${parameters}`);
  const link = /href="(\/signin\/corp[^"]*)"/.exec(first.html)?.[1]?.replaceAll("&amp;", "&") as string;
  const login = await attacker.open(new URL(link, first.url).href);
  const consent = await attacker.submit(login, { login: "eve", password: "x" }, isCallback);
  const stopped = isCallback(consent.url) ? consent : await attacker.submit(consent, {}, isCallback);
  expect(isCallback(stopped.url)).toBe(true);
  const victim = await new Browser().open(stopped.url, isDone);
  expect([victim.status, victim.html]).toEqual([400, expect.stringContaining("another browser")]);
  // The attacker's own browser with another state is refused by the state.
  const changed = stopped.url.replace(/state=[^&]+/, "state=other");
  expect((await attacker.open(changed, isDone)).status).toBe(400);
});

test("every change that a sign-in makes is in the audit log", async () => {
  const organization = await withOrganizationRole(berth, "roles/logging.privateLogViewer");
  const { entries } = await mustCall<{ entries: object[] }>(berth, "POST", "/v2/entries:list", {
    resourceNames: [organization],
    filter: 'protoPayload.methodName="berth.signin.Callback"',
  });
  expect(JSON.stringify(entries)).toContain("ann@example.com");
  expect(JSON.stringify(entries)).toContain("dev+20ops@corp.example.com");
});
