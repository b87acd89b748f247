import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHmac, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { type Account, makeAccount } from "../harness/accounts.ts";
import { type Berth, startBerth } from "../harness/berth.ts";
import { basic, bearer } from "../harness/caller.ts";
import { encode, readToken, signingPairOf, signToken } from "./forged-tokens.ts";

let berth: Berth;
let robot: Account;
let other: Account;
let key: KeyObject;
let keyId: string;
/** Whether what is signed names the token endpoint as its audience, as assertions do; tokens in their own right name none. */
let isAssertion = true;
const strangersKey = generateKeyPairSync("rsa", { modulusLength: 2048 });

beforeAll(async () => {
  berth = await startBerth();
  robot = await makeAccount(berth, "robot");
  other = await makeAccount(berth, "other");
  const file = JSON.parse(robot.key) as { private_key: string; private_key_id: string };
  key = createPrivateKey(file.private_key);
  keyId = file.private_key_id;
});

afterAll(() => berth.stop());

const seconds = (): number => Math.floor(Date.now() / 1000);
type Claims = Record<string, unknown>;

const good = (): Claims => {
  const { email } = robot;
  const scope = "https://www.googleapis.com/auth/cloud-platform";
  const aud = isAssertion ? `${berth.url}/token` : undefined;
  return { iss: email, sub: email, aud, scope, iat: seconds(), exp: seconds() + 3600 };
};

function signed(claims: object | string, header: object = {}, privateKey: KeyObject = key): string {
  const body = `${encode({ alg: "RS256", typ: "JWT", kid: keyId, ...header })}.${encode(claims)}`;
  return `${body}.${sign("sha256", Buffer.from(body), privateKey).toString("base64url")}`;
}

/** Every place where a JWT that a service account signed is read; answers whether it was taken. */
const places: Record<string, (token: string) => Promise<boolean>> = {
  "the token endpoint": async (assertion) => {
    const form = { grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer", assertion };
    const reply = await fetch(`${berth.url}/token`, { method: "POST", body: new URLSearchParams(form) });
    expect([200, 400]).toContain(reply.status);
    return reply.ok;
  },
  "an API": async (token) => takes("/v1/projects", bearer(token)),
  "the registry": async (token) => takes("/v2/", bearer(token)),
  "a credential helper's password": async (token) => takes("/v2/", basic(token, "_dcgcr_2_0_token")),
};

async function takes(path: string, authorization: string): Promise<boolean> {
  const reply = await fetch(berth.url + path, { headers: { authorization } });
  expect([200, 401, 431]).toContain(reply.status);
  return reply.ok;
}

const hmac = (secret: string | Buffer, claims: object): string => {
  const body = `${encode({ alg: "HS256", typ: "JWT", kid: keyId })}.${encode(claims)}`;
  return `${body}.${createHmac("sha256", secret).update(body).digest("base64url")}`;
};
const publicKey = (format: "pem" | "der"): string | Buffer =>
  createPublicKey(key).export({ type: "spki", format } as never);
const embedded = (): object => ({ jwk: strangersKey.publicKey.export({ format: "jwk" }) });
const unsigned = (alg: string): string => `${encode({ alg, typ: "JWT", kid: keyId })}.${encode(good())}.`;

const attacks: Record<string, () => string> = {
  "no signature, alg none": () => unsigned("none"),
  "no signature, alg NONE": () => unsigned("NONE"),
  "no signature, alg RS256": () => unsigned("RS256"),
  "the public key in PEM as a shared secret": () => hmac(publicKey("pem"), good()),
  "the public key in DER as a shared secret": () => hmac(publicKey("der"), good()),
  "an empty secret": () => hmac("", good()),
  "a key of its own in the header": () => signed(good(), embedded(), strangersKey.privateKey),
  "a key of its own in the header, without kid": () =>
    signed(good(), { ...embedded(), kid: undefined }, strangersKey.privateKey),
  "a key set elsewhere": () =>
    signed(good(), { jku: "https://example.com/keys", kid: undefined }, strangersKey.privateKey),
  "a certificate elsewhere": () => signed(good(), { x5u: "https://example.com/cert" }, strangersKey.privateKey),
  "another key under the account's kid": () => signed(good(), {}, strangersKey.privateKey),
  "an unknown kid": () => signed(good(), { kid: "0".repeat(40) }),
  "no kid": () => signed(good(), { kid: undefined }),
  "a kid that is a path": () => signed(good(), { kid: "../../dev/null" }),
  "a kid that is SQL": () => signed(good(), { kid: `${keyId}' OR '1'='1` }),
  "a kid that is no string": () => signed(good(), { kid: [keyId] }),
  "another account's name": () => signed({ ...good(), iss: other.email, sub: other.email }),
  "another account as its subject": () => signed({ ...good(), sub: other.email }),
  "an end in the past": () => signed({ ...good(), iat: seconds() - 3600, exp: seconds() - 120 }),
  "no end": () => signed({ ...good(), exp: undefined }),
  "an end that is text": () => signed({ ...good(), exp: "9999999999" }),
  "no beginning": () => signed({ ...good(), iat: undefined }),
  "a beginning far ahead": () => signed({ ...good(), iat: seconds() + 3600, exp: seconds() + 7000 }),
  "not valid before tomorrow": () => signed({ ...good(), nbf: seconds() + 86_400 }),
  "a life of a day": () => signed({ ...good(), exp: seconds() + 86_400 }),
  "critical extensions that nobody knows": () => signed(good(), { crit: ["exp2"], exp2: 1 }),
  "a payload that is no object": () => signed("[]"),
  "a payload that is no JSON": () => signed("x"),
  "a changed payload": () => signed(good()).replace(/\.[^.]+\./, `.${encode({ ...good(), scope: "openid" })}.`),
  "more than 16 KiB": () => signed({ ...good(), filler: "x".repeat(16 * 1024) }),
  "four parts": () => `${signed(good())}.x`,
  nothing: () => "..",
};

for (const [place, take] of Object.entries(places)) {
  describe(`${place} does not take a JWT with`, () => {
    beforeAll(() => void (isAssertion = place === "the token endpoint"));
    afterAll(() => void (isAssertion = true));
    test("(one that is in order it does)", async () => {
      expect(await take(signed(good()))).toBe(true);
    });
    for (const [name, make] of Object.entries(attacks)) {
      test(name, async () => expect(await take(make())).toBe(false));
    }
  });
}

describe("a token of one kind is none of another", () => {
  const tokenFor = async (form: Record<string, string>): Promise<Record<string, string>> => {
    const body = new URLSearchParams({ grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer", ...form });
    return (await (await fetch(`${berth.url}/token`, { method: "POST", body })).json()) as Record<string, string>;
  };

  test("an ID token opens nothing", async () => {
    const { id_token } = await tokenFor({ assertion: signed({ ...good(), target_audience: berth.url }) });
    expect(id_token).toBeString();
    for (const take of Object.values(places)) expect(await take(id_token as string)).toBe(false);
  });

  test("an access token is no assertion", async () => {
    const { access_token } = await tokenFor({ assertion: signed(good()) });
    expect(await places["an API"]?.(access_token as string)).toBe(true);
    expect(await places["the token endpoint"]?.(access_token as string)).toBe(false);
  });

  test("a registry token opens no API", async () => {
    const token = await berth.token("repository:my-project/app:pull");
    expect(await takes("/v2/", bearer(token))).toBe(true);
    for (const path of ["/v1/projects", "/storage/v1/b/artifacts.my-project.appspot.com"]) {
      const reply = await fetch(berth.url + path, { headers: { authorization: bearer(token) } });
      const body = (await reply.json()) as { projects?: unknown };
      expect([reply.status === 403 || body.projects === undefined, path]).toEqual([true, path]);
    }
  });

  test("what is exchanged for a registry token is no wider for it", async () => {
    const statusWith = async (scope: string): Promise<number> => {
      const { access_token } = await tokenFor({ assertion: signed({ ...good(), scope }) });
      const headers = { authorization: bearer(access_token as string) };
      const exchanged = await fetch(`${berth.url}/v2/token?scope=registry:catalog:*`, { headers });
      const { token } = (await exchanged.json()) as { token: string };
      return (await fetch(`${berth.url}/v2/_catalog`, { headers: { authorization: bearer(token) } })).status;
    };
    expect(await statusWith("https://www.googleapis.com/auth/devstorage.read_only")).toBe(200);
    expect(await statusWith("openid")).toBe(401);
  });

  test("our own key does not make one kind into another", async () => {
    const { access_token } = await tokenFor({ assertion: signed(good()) });
    const { header, claims } = readToken(access_token as string);
    const pair = signingPairOf(berth);
    expect(await takes("/v1/projects", bearer(await signToken(claims, pair.privateJwk, header)))).toBe(true);
    for (const typ of ["JWT", "form+jwt", "flow+jwt", "", undefined]) {
      const token = await signToken(claims, pair.privateJwk, { ...header, typ });
      expect([typ, await takes("/v1/projects", bearer(token))]).toEqual([typ, false]);
    }
    const issuers = ["berth-sign-in", "berth-registry", berth.url, ""];
    for (const iss of issuers) {
      const token = await signToken({ ...claims, iss }, pair.privateJwk, header);
      expect([iss, await takes("/v1/projects", bearer(token))]).toEqual([iss, false]);
    }
  });

  test("an assertion for another's endpoint is none for ours", async () => {
    const take = places["the token endpoint"] as (token: string) => Promise<boolean>;
    expect(await take(signed({ ...good(), aud: "https://oauth2.googleapis.com/token" }))).toBe(true);
    for (const aud of ["https://evil.example/token", berth.url, "", undefined, [`${berth.url}/token`, "x"]]) {
      expect([aud, await take(signed({ ...good(), aud }))]).toEqual([aud, false]);
    }
  });

  test("a self-signed token with scopes is for no other server that it names", async () => {
    const takesFor = (aud: unknown): Promise<boolean> => takes("/v1/projects", bearer(signed({ ...good(), aud })));
    // Go's library writes an empty one.
    for (const aud of [undefined, "", `${berth.url}/`, "https://storage.googleapis.com/"]) {
      expect([aud, await takesFor(aud)]).toEqual([aud, true]);
    }
    for (const aud of ["https://evil.example/", "https://evil.example/token", `${berth.url}/token`, ["x"]]) {
      expect([aud, await takesFor(aud)]).toEqual([aud, false]);
    }
  });

  test("a self-signed token without a scope is for the server that it names", async () => {
    const own = { ...good(), scope: undefined };
    const takesFor = (aud: unknown): Promise<boolean> => takes("/v1/projects", bearer(signed({ ...own, aud })));
    expect(await takesFor(`${berth.url}/`)).toBe(true);
    expect(await takesFor("https://storage.googleapis.com/")).toBe(true);
    for (const aud of [
      "https://evil.example/",
      "https://googleapis.com.evil.example/",
      `${berth.url}/token`,
      "x",
      ["x"],
    ]) {
      expect([aud, await takesFor(aud)]).toEqual([aud, false]);
    }
  });
});
