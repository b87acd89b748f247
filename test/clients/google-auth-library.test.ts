import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { GoogleAuth, Impersonated, JWT, OAuth2Client } from "google-auth-library";
import { createRemoteJWKSet, jwtVerify } from "jose";
import { type Account, makeAccount } from "../harness/accounts.ts";
import { type Berth, startBerth } from "../harness/berth.ts";
import { Browser } from "../harness/browser.ts";
import { mustCall } from "../harness/federation.ts";

setDefaultTimeout(60_000);

const everything = "https://www.googleapis.com/auth/cloud-platform";
let berth: Berth;
let robot: Account;

beforeAll(async () => {
  berth = await startBerth();
  robot = await makeAccount(berth, "robot");
});

afterAll(() => berth.stop());

const call = <T>(method: string, path: string, body?: object): Promise<T> =>
  mustCall<T>(berth, method, path, ...(body === undefined ? [] : [body]));

/** A client for a key file, as an application has it; its tokens it signs itself. */
function jwtOf(key: string, scopes: string[] = [everything]): JWT {
  const { client_email, private_key, private_key_id } = JSON.parse(key) as Record<string, string>;
  const jwt = new JWT({
    email: client_email as string,
    key: private_key as string,
    keyId: private_key_id as string,
    scopes,
  });
  jwt.useJWTAccessWithScope = true;
  return jwt;
}

/** A client that has a token already: the library asks Google alone for one where a key is to be exchanged. */
async function holderOf(key: string): Promise<OAuth2Client> {
  const authorization = (await jwtOf(key).getRequestHeaders()).get("authorization") as string;
  const client = new OAuth2Client();
  client.setCredentials({ access_token: authorization.replace("Bearer ", "") });
  return client;
}

test("a key file signs its own tokens, which reach as far as their scopes", async () => {
  const statusOf = (jwt: JWT, path: string): Promise<number> =>
    jwt.request({ url: berth.url + path }).then(
      ({ status }) => status,
      (error: { status: number }) => error.status,
    );
  const owner = jwtOf(berth.key);
  expect(await statusOf(owner, "/v1/projects/my-project")).toBe(200);
  const reader = jwtOf(berth.key, ["https://www.googleapis.com/auth/devstorage.read_only"]);
  expect(await statusOf(reader, "/v1/projects/my-project")).toBe(403);
  expect(await statusOf(jwtOf(robot.key), "/v1/projects/my-project")).toBe(403);
});

test("default credentials find the key file by its variable, and its token_uri", async () => {
  const auth = new GoogleAuth({ credentials: JSON.parse(berth.key) as object, scopes: [everything] });
  const client = await auth.getClient();
  expect(await auth.getProjectId()).toBe("my-project");
  expect(client).toBeInstanceOf(JWT);
  expect((JSON.parse(berth.key) as { token_uri: string }).token_uri).toBe(
    `${berth.url.replace("127.0.0.1", "localhost")}/token`,
  );
});

/** The library has Google's addresses built in; its option leads it to ours. */
const endpoint = (): object => ({ endpoint: berth.url });

test("impersonates a service account, and a chain of them", async () => {
  const middle = await makeAccount(berth, "middle");
  const last = await makeAccount(berth, "last");
  const let_ = (account: Account, member: string, role: string): Promise<unknown> =>
    call("POST", `/v1/projects/my-project/serviceAccounts/${account.email}:setIamPolicy`, {
      policy: { bindings: [{ role, members: [member] }] },
    });
  const creator = "roles/iam.serviceAccountTokenCreator";
  const sourceClient = await holderOf(robot.key);
  const impersonate = (delegates: string[]): Impersonated =>
    new Impersonated({
      sourceClient,
      targetPrincipal: last.email,
      targetScopes: [everything],
      delegates,
      lifetime: 600,
      ...endpoint(),
    });
  const refused = await impersonate([])
    .getAccessToken()
    .catch((error: Error) => error.message);
  expect(refused).toContain("iam.serviceAccounts.getAccessToken");
  await let_(middle, `serviceAccount:${robot.email}`, creator);
  await let_(last, `serviceAccount:${middle.email}`, creator);
  const { token } = await impersonate([`projects/-/serviceAccounts/${middle.email}`]).getAccessToken();
  const info = await fetch(`${berth.url}/tokeninfo?access_token=${token}`);
  expect(await info.json()).toMatchObject({ email: last.email });
  const signed = await impersonate([`projects/-/serviceAccounts/${middle.email}`]).sign("a blob");
  expect(signed.signedBlob).toBeString();
});

test("ID tokens are for their audience, and are verified with the server's key set", async () => {
  const { email } = robot;
  const path = `/v1/projects/my-project/serviceAccounts/${email}:setIamPolicy`;
  const owner = "serviceAccount:owner@my-project.iam.gserviceaccount.com";
  const bindings = [{ role: "roles/iam.serviceAccountTokenCreator", members: [owner] }];
  await call("POST", path, { policy: { bindings } });
  const client = new Impersonated({
    sourceClient: await holderOf(berth.key),
    targetPrincipal: email,
    targetScopes: [everything],
    ...endpoint(),
  });
  const token = await client.fetchIdToken("https://service.example", { includeEmail: true });
  const discovery = (await (await fetch(`${berth.url}/.well-known/openid-configuration`)).json()) as Record<
    string,
    string
  >;
  const { payload } = await jwtVerify(token, createRemoteJWKSet(new URL(discovery.jwks_uri as string)), {
    issuer: discovery.issuer as string,
    audience: "https://service.example",
  });
  expect(payload).toMatchObject({ email, email_verified: true });
});

test("a person signs in through the browser, the token is refreshed, and revoked", async () => {
  const email = "ann@example.com";
  const password = "correct horse battery staple";
  await call("POST", "/berth/v1/users", { email, password });
  const target = "http://127.0.0.1:9/done";
  const client = new OAuth2Client({
    clientId: "berth-cli",
    redirectUri: target,
    endpoints: {
      oauth2AuthBaseUrl: `${berth.url}/o/oauth2/v2/auth`,
      oauth2TokenUrl: `${berth.url}/token`,
      oauth2RevokeUrl: `${berth.url}/revoke`,
      tokenInfoUrl: `${berth.url}/tokeninfo`,
    },
  });
  const codeVerifier = randomBytes(48).toString("base64url");
  const code_challenge = createHash("sha256").update(codeVerifier).digest("base64url");
  const url = client.generateAuthUrl({
    scope: ["openid", everything],
    code_challenge,
    code_challenge_method: "S256" as never,
  });
  const browser = new Browser();
  const end = await browser.submit(await browser.open(url), { email, password }, (at) => at.startsWith(target));
  const { tokens } = await client.getToken({ code: new URL(end.url).searchParams.get("code") as string, codeVerifier });
  client.setCredentials(tokens);
  expect(await client.getTokenInfo(tokens.access_token as string)).toMatchObject({ email });
  client.setCredentials({ refresh_token: tokens.refresh_token as string });
  const { token: refreshed } = await client.getAccessToken();
  expect(refreshed).not.toBe(tokens.access_token);
  expect((await client.request({ url: `${berth.url}/v1/projects` })).status).toBe(200);
  await client.revokeToken(tokens.refresh_token as string);
  const refused = await client.refreshAccessToken().catch((error: Error) => error.message);
  expect(refused).toContain("invalid_grant");
});
