import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { makeAccount } from "../harness/accounts.ts";
import { type Berth, startBerth } from "../harness/berth.ts";
import { Browser } from "../harness/browser.ts";
import { basic, bearer } from "../harness/caller.ts";
import { mustCall } from "../harness/federation.ts";
import { listRoutes } from "../harness/route-list.ts";
import { withOrganizationRole } from "../harness/organization.ts";
import { makeScratch } from "../harness/scratch.ts";
import { freePort } from "../harness/nginx.ts";

setDefaultTimeout(60_000);

const scratch = makeScratch();
/** Everything that must be nowhere but where it was meant for, by what it is. */
const secrets = new Map<string, string>();
const secret = (name: string): string => {
  const value = `sEcReT-${randomBytes(24).toString("hex")}`;
  secrets.set(name, value);
  return value;
};
/** The bodies of all replies that are not meant to hold a secret. */
const replies: string[] = [];
let berth: Berth;

beforeAll(async () => {
  const file = join(scratch.path, "client-secret");
  await Bun.write(file, secret("the client secret of a provider"));
  berth = await startBerth({
    args: ["--log-level", "debug"],
    config: [
      'egress: { allow: ["127.0.0.1"] }',
      "sign-in:",
      `  providers: [{ name: corp, issuer: "http://127.0.0.1:${freePort()}", client-id: berth, client-secret-file: "${file}" }]`,
    ].join("\n"),
  });
});

afterAll(async () => {
  await berth.stop();
  await scratch.remove();
});

async function send(method: string, path: string, init: RequestInit = {}): Promise<string> {
  const reply = await fetch(berth.url + path, { method, redirect: "manual", ...init });
  const text = await reply.text();
  replies.push(text, JSON.stringify([...reply.headers]));
  return text;
}

const verifierOf = (): { verifier: string; challenge: string } => {
  const verifier = secret("the verifier of a code");
  return { verifier, challenge: createHash("sha256").update(verifier).digest("base64url") };
};

describe("secrets go through", () => {
  test("the life of a user and of a service account", async () => {
    const email = "ann@example.com";
    const password = secret("a password");
    await mustCall(berth, "POST", "/berth/v1/users", { email, password });
    const { verifier, challenge } = verifierOf();
    const target = "http://127.0.0.1:9/done";
    const parameters = new URLSearchParams({
      client_id: "berth-cli",
      redirect_uri: target,
      response_type: "code",
      scope: "https://www.googleapis.com/auth/cloud-platform",
      code_challenge: challenge,
      code_challenge_method: "S256",
    });
    const browser = new Browser();
    const page = await browser.open(`${berth.url}/o/oauth2/v2/auth?${parameters}`);
    const wrong = await browser.submit(page, { email, password: secret("a wrong password") });
    replies.push(wrong.html);
    const end = await browser.submit(wrong, { email, password }, (url) => url.startsWith(target));
    const code = new URL(end.url).searchParams.get("code") as string;
    secrets.set("an authorization code", code);
    const form = { grant_type: "authorization_code", client_id: "berth-cli", redirect_uri: target, code };
    const reply = await fetch(`${berth.url}/token`, {
      method: "POST",
      body: new URLSearchParams({ ...form, code_verifier: verifier }),
    });
    const tokens = (await reply.json()) as Record<string, string>;
    expect(reply.status).toBe(200);
    for (const name of ["access_token", "refresh_token", "id_token"]) {
      secrets.set(`a user's ${name}`, tokens[name] as string);
    }
    // Once more: a code is good once.
    await send("POST", "/token", { body: new URLSearchParams({ ...form, code_verifier: verifier }) });
    const robot = await makeAccount(berth, "robot");
    const key = JSON.parse(robot.key) as { private_key: string };
    // A line of it: in JSON its ends are written otherwise.
    secrets.set("a private key", key.private_key.split("\n")[5] as string);
    secrets.set("a registry token", await berth.token("repository:my-project/app:pull"));
    await send("GET", "/v2/", { headers: { authorization: basic(robot.key) } });
    await send("GET", "/v2/", { headers: { authorization: basic(robot.key.slice(0, -20)) } });
    await send("GET", "/v2/", { headers: { authorization: basic(robot.key.replace("PRIVATE", "PRIVAT")) } });
    const change = { oldPassword: secret("an old password that is wrong"), newPassword: secret("a new password") };
    const headers = { authorization: bearer(tokens.access_token ?? ""), "content-type": "application/json" };
    await send("POST", "/berth/v1/me:changePassword", { headers, body: JSON.stringify(change) });
    for (const token of secrets.values()) {
      await send("POST", "/revoke", { body: new URLSearchParams({ token: `${token}x` }) });
      await send("POST", "/tokeninfo", { body: new URLSearchParams({ access_token: `${token}x` }) });
      await send("GET", `/tokeninfo?access_token=${encodeURIComponent(`${token}x`)}`);
      await send("GET", "/v2/", { headers: { authorization: bearer(`${token}x`) } });
    }
  });

  test("every route, in each place where a client may put one", async () => {
    const value = secret("a credential in a header");
    const inQuery = secret("a token in a query");
    const inForm = secret("a field of a form");
    const inJson = secret("a field of a JSON body");
    const inCookie = secret("a cookie");
    const fields = [
      "password",
      "client_secret",
      "refresh_token",
      "code",
      "code_verifier",
      "assertion",
      "subject_token",
      "token",
    ];
    const form = new URLSearchParams([
      ["grant_type", "refresh_token"],
      ...fields.map((name) => [name, inForm] as [string, string]),
    ]);
    const json = JSON.stringify({ password: inJson, oldPassword: inJson, newPassword: inJson, privateKeyData: inJson });
    for (const route of listRoutes()) {
      const [method = "", template = ""] = route.split(" ");
      const path = `${template.replaceAll(/\{\w+(?:=[^}]*)?\}/g, "x")}?access_token=${inQuery}&key=${inQuery}&token=${inQuery}`;
      const cookie = `berth-form=${inCookie}; berth-flow=${inCookie}`;
      const authorizations = [bearer(value), basic(value), basic(value, "oauth2accesstoken"), `Digest ${value}`, value];
      for (const authorization of authorizations) await send(method, path, { headers: { authorization, cookie } });
      if (["GET", "HEAD"].includes(method)) continue;
      const type = { "content-type": "application/json", cookie };
      await send(method, path, { body: form, headers: { cookie } });
      await send(method, path, { body: json, headers: type });
      await send(method, path, { body: json, headers: { ...type, authorization: basic(berth.key) } });
    }
    await send(
      "GET",
      "/signin/corp?client_id=berth-cli&redirect_uri=http://127.0.0.1:9/x&response_type=code&code_challenge_method=S256&code_challenge=" +
        "a".repeat(43),
    );
  });
});

/** A secret as it is, and as it looks in base64 (at three offsets), in a URL, in JSON. */
function spellings(value: string): string[] {
  const bytes = (pad: string): string =>
    Buffer.from(pad + value)
      .toString("base64")
      .slice(4, -4);
  return [value, encodeURIComponent(value), JSON.stringify(value).slice(1, -1), bytes(""), bytes("x"), bytes("xx")];
}

function found(text: string): string[] {
  return [...secrets].filter(([, value]) => spellings(value).some((each) => text.includes(each))).map(([name]) => name);
}

describe("and are in none of", () => {
  test("what a search like this one finds (it does find them)", () => {
    expect(secrets.size).toBeGreaterThan(14);
    for (const [name, value] of secrets) {
      expect(found(`"${value}"`)).toContain(name);
      expect(found(Buffer.from(`user:${value}:end`).toString("base64"))).toContain(name);
    }
  });

  test("the replies", () =>
    expect(replies.filter((text) => found(text).length > 0).map((text) => text.slice(0, 300))).toEqual([]));

  test("the log", () => expect(found(berth.output())).toEqual([]));

  test("the metrics", async () => expect(found(await send("GET", "/metrics"))).toEqual([]));

  test("the audit log", async () => {
    const organization = await withOrganizationRole(berth, "roles/logging.privateLogViewer");
    const reply = await berth.fetch(`/berth/v1/audit:export?resource=${organization}`);
    const text = await reply.text();
    expect(text.split("\n").length).toBeGreaterThan(50);
    expect(found(text)).toEqual([]);
  });

  test("the files of the server", () => {
    const files = readdirSync(berth.data, { recursive: true, withFileTypes: true }).filter((file) => file.isFile());
    const texts = files.map((file) => readFileSync(join(file.parentPath, file.name), "latin1"));
    expect(texts.length).toBeGreaterThan(2);
    expect(texts.flatMap(found)).toEqual([]);
  });
});
