import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createPublicKey } from "node:crypto";
import { type JWK, type JWTPayload, SignJWT } from "jose";
import { type Berth, startBerth } from "../harness/berth.ts";
import { bodyOf, callApi, exchange, makePool, mustCall, pools, type ProviderSettings } from "../harness/federation.ts";
import { startTokenIssuer, type TokenIssuer } from "../harness/token-issuer.ts";

let berth: Berth;
let issuer: TokenIssuer;
let pool: string;

beforeAll(async () => {
  issuer = await startTokenIssuer();
  berth = await startBerth({ config: 'egress:\n  allow: ["127.0.0.1"]\n' });
  pool = await makePool(berth, "the-pool", settings());
});

afterAll(async () => {
  await berth.stop();
  await issuer.stop();
});

const settings = (more: Partial<ProviderSettings> = {}): ProviderSettings => ({
  issuerUri: issuer.url,
  attributeMapping: { "google.subject": "assertion.sub", "attribute.team": "assertion.team" },
  ...more,
});
const audience = (): string => `https://iam.googleapis.com/${pool}/providers/provider`;
type Claims = Partial<Record<keyof JWTPayload, unknown>>;
const claims = (more: Claims = {}): JWTPayload => ({
  aud: audience(),
  sub: "job-1",
  team: "a",
  ...(more as JWTPayload),
});
const seconds = (): number => Math.floor(Date.now() / 1000);

describe("a token that is not taken", () => {
  const wrong: [string, () => JWTPayload, string][] = [
    ["for another audience", () => claims({ aud: "https://example.com" }), "The audience in the token"],
    ["without an audience", () => claims({ aud: undefined }), "aud"],
    ["of another issuer", () => claims({ iss: "https://example.com" }), "is not the provider's"],
    ["that has expired", () => claims({ iat: seconds() - 600, exp: seconds() - 120 }), "has expired"],
    ["that lives longer than a day", () => claims({ exp: seconds() + 24 * 3600 + 60 }), "longer than 24 hours"],
    ["from the future", () => claims({ iat: seconds() + 600, exp: seconds() + 1200 }), "in the future"],
    ["without an end", () => claims({ exp: undefined }), "'exp'"],
    ["without the claim of an attribute", () => claims({ team: undefined }), "attribute.team"],
    ["with a claim of another type", () => claims({ team: 7 }), "attribute.team"],
    ["with an empty subject", () => claims({ sub: "" }), "google.subject"],
    ["with a subject of 128 bytes", () => claims({ sub: "s".repeat(128) }), "127 bytes"],
    ["with a line break in an attribute", () => claims({ team: "a\nb" }), "attribute.team"],
    ["of 16 KiB", () => claims({ filler: "f".repeat(16 * 1024) }), "bytes"],
  ];
  for (const [name, payload, reason] of wrong) {
    test(name, async () => {
      const { status, body } = await exchange(berth, pool, await issuer.sign(payload()));
      expect([status, body.error]).toEqual([400, "invalid_grant"]);
      expect(body.error_description).toContain(reason);
      expect(body.access_token).toBeUndefined();
    });
  }

  test("signed with the public key as a shared secret", async () => {
    const [jwk] = (JSON.parse(issuer.jwks()) as { keys: JWK[] }).keys;
    const pem = createPublicKey({ key: jwk as JWK, format: "jwk" }).export({ type: "spki", format: "pem" });
    const now = seconds();
    const token = await new SignJWT({ ...claims(), iss: issuer.url, iat: now, exp: now + 60 })
      .setProtectedHeader({ alg: "HS256", kid: jwk?.kid as string })
      .sign(Buffer.from(pem));
    expect((await exchange(berth, pool, token)).body.error).toBe("invalid_grant");
  });

  test("not signed at all", async () => {
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
    const now = seconds();
    const payload = part({ ...claims(), iss: issuer.url, iat: now, exp: now + 60 });
    for (const header of [{ alg: "none" }, { alg: "none", kid: "x" }]) {
      expect((await exchange(berth, pool, `${part(header)}.${payload}.`)).body.error).toBe("invalid_grant");
    }
  });

  test("one of Berth's own", async () => {
    const { body } = await exchange(berth, pool, await issuer.sign(claims()));
    expect((await exchange(berth, pool, body.access_token)).body.error).toBe("invalid_grant");
  });

  const requests: [string, Record<string, string>, string][] = [
    ["for a provider that is not there", { audience: "PROVIDER-x" }, "invalid_target"],
    ["for something else", { audience: "//storage.googleapis.com/b" }, "invalid_request"],
    ["for another kind of token", { requested_token_type: "urn:x" }, "invalid_request"],
    ["without scopes", { scope: "" }, "invalid_scope"],
    ["with a SAML assertion", { subject_token_type: "urn:ietf:params:oauth:token-type:saml2" }, "invalid_request"],
  ];
  for (const [name, more, error] of requests) {
    test(`a request ${name}`, async () => {
      const named = more.audience === "PROVIDER-x" ? { audience: `//iam.googleapis.com/${pool}/providers/none` } : more;
      const { status, body } = await exchange(berth, pool, await issuer.sign(claims()), named);
      expect([status, body.error]).toEqual([400, error]);
    });
  }
});

describe("what a token is worth", () => {
  const uses = async (token: string): Promise<number> =>
    (await fetch(`${berth.url}/v1/projects`, { headers: { authorization: `Bearer ${token}` } })).status;

  test("its scopes bound it, and it says whose it is", async () => {
    const { body } = await exchange(berth, pool, await issuer.sign(claims()));
    const reply = await fetch(`${berth.url}/v1/introspect`, {
      method: "POST",
      body: new URLSearchParams({ token: body.access_token }),
    });
    expect(await reply.json()).toMatchObject({
      active: true,
      username: `principal://iam.googleapis.com/${pool}/subject/job-1`,
      scope: "https://www.googleapis.com/auth/cloud-platform",
    });
  });

  test("it ends with its pool, and counts again when the pool does", async () => {
    const { body } = await exchange(berth, pool, await issuer.sign(claims()));
    expect(await uses(body.access_token)).toBe(200);
    await mustCall(berth, "PATCH", `${pools}/the-pool?updateMask=disabled`, { disabled: true });
    expect(await uses(body.access_token)).toBe(401);
    expect((await exchange(berth, pool, await issuer.sign(claims()))).body.error).toBe("invalid_target");
    await mustCall(berth, "PATCH", `${pools}/the-pool?updateMask=disabled`, { disabled: false });
    expect(await uses(body.access_token)).toBe(200);
    await mustCall(berth, "DELETE", `${pools}/the-pool`);
    expect(await uses(body.access_token)).toBe(401);
    await mustCall(berth, "POST", `${pools}/the-pool:undelete`, {});
    expect(await uses(body.access_token)).toBe(200);
  });

  test("a provider that is disabled or deleted takes no more tokens", async () => {
    const provider = `${pools}/the-pool/providers/provider`;
    await mustCall(berth, "PATCH", `${provider}?updateMask=disabled`, { disabled: true });
    expect((await exchange(berth, pool, await issuer.sign(claims()))).body.error).toBe("invalid_target");
    await mustCall(berth, "PATCH", `${provider}?updateMask=disabled`, {});
    await mustCall(berth, "DELETE", provider);
    expect((await exchange(berth, pool, await issuer.sign(claims()))).body.error).toBe("invalid_target");
    await mustCall(berth, "POST", `${provider}:undelete`, {});
    expect((await exchange(berth, pool, await issuer.sign(claims()))).status).toBe(200);
  });
});

describe("an issuer's keys", () => {
  test("are asked for once, and again when a token has a new one", async () => {
    const other = await startTokenIssuer();
    const name = await makePool(berth, "rotating", settings({ issuerUri: other.url, allowedAudiences: ["berth"] }));
    const token = (): Promise<string> => other.sign(claims({ aud: "berth" }));
    const replies = await Promise.all(Array.from({ length: 5 }, async () => exchange(berth, name, await token())));
    expect(replies.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    expect(other.keyRequests()).toBe(1);
    // Tokens with unknown keys cannot make the server ask again and again.
    await other.rotate();
    for (let i = 0; i < 5; i++) await exchange(berth, name, await token());
    expect(other.keyRequests()).toBeLessThanOrEqual(2);
    // Down: what is known still counts.
    await other.stop();
  });

  test("are not asked for at an address inside, unless the server may", async () => {
    const inside = await startBerth();
    const name = await makePool(inside, "the-pool", settings({ allowedAudiences: ["berth"] }));
    const before = issuer.keyRequests();
    const { body } = await exchange(inside, name, await issuer.sign(claims({ aud: "berth" })));
    expect(body.error).toBe("invalid_grant");
    expect(body.error_description).toContain("Error connecting to the issuer");
    expect(issuer.keyRequests()).toBe(before);
    await inside.stop();
  });
});

describe("a provider that cannot be set up", () => {
  const refused: [string, Partial<ProviderSettings>, string][] = [
    ["without a subject", { attributeMapping: { "attribute.a": "assertion.sub" } }, "google.subject is not mapped"],
    [
      "with an attribute of another name",
      { attributeMapping: { "google.subject": "assertion.sub", "attribute.A": "'x'" } },
      "attribute.A",
    ],
    [
      "with a mapping that cannot be read",
      { attributeMapping: { "google.subject": "assertion." } },
      "attributeMapping.google.subject",
    ],
    ["with a condition of another type", { attributeCondition: "assertion.sub + 'x'" }, "attributeCondition"],
    ["with a condition on what is not there", { attributeCondition: "resource.name == 'x'" }, "attributeCondition"],
    ["with an issuer that is no address", { issuerUri: "ftp://example.com" }, "oidc.issuerUri"],
    ["with a password in the issuer's address", { issuerUri: "https://a:b@example.com" }, "oidc.issuerUri"],
    ["with keys that are none", { jwksJson: "{}" }, "oidc.jwksJson"],
    [
      "for everybody on GitHub",
      { issuerUri: "https://token.actions.githubusercontent.com" },
      "signs for all of its customers",
    ],
    [
      "for everybody on GitHub by a condition that asks nothing",
      { issuerUri: "https://token.actions.githubusercontent.com", attributeCondition: "true" },
      "signs for all of its customers",
    ],
  ];
  for (const [name, more, reason] of refused) {
    test(name, async () => {
      const path = `${pools}/the-pool/providers`;
      const create = `${path}?workloadIdentityPoolProviderId=refused`;
      const { status, body } = await callApi(berth, "POST", create, bodyOf(settings(more)));
      const error = { status: "INVALID_ARGUMENT", message: expect.stringContaining(reason) };
      expect([status, body]).toEqual([400, { error: expect.objectContaining(error) }]);
      expect((await callApi(berth, "GET", `${path}/refused`)).status).toBe(404);
    });
  }

  test("with an id of another form, or one that is in use or was deleted", async () => {
    const create = (id: string) => callApi(berth, "POST", `${pools}?workloadIdentityPoolId=${id}`, {});
    for (const id of ["", "abc", "gcp-pool", "Upper", "p".repeat(33)]) expect((await create(id)).status).toBe(400);
    expect((await create("the-pool")).status).toBe(409);
    expect((await create("short-lived")).status).toBe(200);
    await mustCall(berth, "DELETE", `${pools}/short-lived`);
    expect((await create("short-lived")).status).toBe(409);
    const listed = async (query: string) =>
      JSON.stringify((await mustCall(berth, "GET", `${pools}${query}`)).workloadIdentityPools);
    expect(await listed("")).not.toContain("short-lived");
    expect(await listed("?showDeleted=true")).toContain("short-lived");
  });
});
