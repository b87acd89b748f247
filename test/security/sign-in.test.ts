import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Berth, startBerth, until } from "../harness/berth.ts";
import { Browser, type Page } from "../harness/browser.ts";
import { basic } from "../harness/caller.ts";
import { makeAccount } from "../harness/accounts.ts";
import { mustCall } from "../harness/federation.ts";

setDefaultTimeout(30_000);

const email = "ann@example.com";
const password = "correct horse battery staple";
const target = "http://127.0.0.1:9/done";
let berth: Berth;
let secure: Berth;

beforeAll(async () => {
  berth = await startBerth({ args: ["--trusted-proxies", "127.0.0.1"] });
  secure = await startBerth({ tls: true });
  await mustCall(berth, "POST", "/berth/v1/users", { email, password });
});

afterAll(async () => {
  await Promise.all([berth.stop(), secure.stop()]);
});

const parameters = (more: Record<string, string> = {}): URLSearchParams =>
  new URLSearchParams({
    client_id: "berth-cli",
    redirect_uri: target,
    response_type: "code",
    scope: "openid",
    state: "s",
    code_challenge: "a".repeat(43),
    code_challenge_method: "S256",
    ...more,
  });
const formPath = "/o/oauth2/v2/auth";
const isDone = (url: string): boolean => url.startsWith(target);
const open = (browser: Browser, more: Record<string, string> = {}): Promise<Page> =>
  browser.open(`${berth.url}${formPath}?${parameters(more)}`, isDone);

/** The fields of a page's form and the cookie that came with it, for requests that no browser would send. */
async function formOf(): Promise<{ fields: URLSearchParams; cookie: string }> {
  const page = await fetch(`${berth.url}${formPath}?${parameters()}`);
  const html = await page.text();
  const fields = new URLSearchParams();
  for (const [, name, value] of html.matchAll(/name="(\w+)" value="([^"]*)"/g))
    fields.set(name as string, value as string);
  fields.set("email", email);
  fields.set("password", password);
  return { fields, cookie: page.headers.getSetCookie()[0]?.split(";")[0] as string };
}

const post = (fields: URLSearchParams, headers: Record<string, string>): Promise<Response> =>
  fetch(`${berth.url}${formPath}`, { method: "POST", body: fields, headers, redirect: "manual" });

describe("a code is not sent", () => {
  const wrong: Record<string, string> = {
    "another host": "https://evil.example/",
    "another host over plain HTTP": "http://evil.example/",
    "a host that begins like ours": "http://localhost.evil.example/",
    "a host behind a user name": "http://localhost@evil.example/",
    "a user name": "http://x@localhost/",
    "a host behind backslashes": "http:\\\\evil.example\\@localhost/",
    "no scheme": "//evil.example/",
    "a script": "javascript:alert(1)//localhost",
    "a data URL": "data:text/html,x",
    "a file": "file:///etc/passwd",
    "a fragment": "http://localhost/#x",
    "an address that is no loopback": "http://127.0.0.1.nip.io/",
    "an address in another spelling": "http://0x7f.1.evil.example/",
    "another program's page": "https://sdk.cloud.google.com/authcode.html",
    nothing: "",
  };
  for (const [name, redirect_uri] of Object.entries(wrong)) {
    test(`to ${name}`, async () => {
      const page = await open(new Browser(), { redirect_uri });
      expect([page.status, page.headers.get("location")]).toEqual([400, null]);
      expect(page.html).not.toContain("<form");
      // Nor does a form that was begun elsewhere get there.
      const { fields, cookie } = await formOf();
      fields.set("redirect_uri", redirect_uri);
      const reply = await post(fields, { cookie, origin: berth.url });
      expect([reply.status, reply.headers.get("location")]).toEqual([400, null]);
    });
  }

  test("without PKCE, or for something else than a code", async () => {
    for (const more of [
      { code_challenge: "" },
      { code_challenge_method: "plain" },
      { response_type: "token" },
      { client_id: "x" },
    ]) {
      expect((await open(new Browser(), more)).status).toBe(400);
    }
  });
});

describe("a form from elsewhere signs nobody in", () => {
  test("(its own does)", async () => {
    const { fields, cookie } = await formOf();
    const reply = await post(fields, { cookie, origin: berth.url, "sec-fetch-site": "same-origin" });
    expect(reply.status).toBe(303);
    expect(reply.headers.get("location")).toStartWith(`${target}?code=`);
  });

  const headers: [string, (cookie: string) => Record<string, string>][] = [
    ["without the cookie", () => ({ origin: berth.url })],
    ["with another's cookie", () => ({ origin: berth.url, cookie: "berth-form=x" })],
    ["from another origin", (cookie) => ({ cookie, origin: "https://evil.example" })],
    ["from a site beside", (cookie) => ({ cookie, "sec-fetch-site": "same-site" })],
    ["from another site", (cookie) => ({ cookie, "sec-fetch-site": "cross-site" })],
  ];
  for (const [name, make] of headers) {
    test(name, async () => {
      const { fields, cookie } = await formOf();
      const reply = await post(fields, make(cookie));
      expect([reply.status, reply.headers.get("location")]).toEqual([400, null]);
    });
  }

  test("with a token that was changed, left away, or given to another browser", async () => {
    const mine = await formOf();
    const theirs = await formOf();
    for (const form of ["", `${mine.fields.get("form")}x`, theirs.fields.get("form") as string]) {
      const fields = new URLSearchParams(mine.fields);
      fields.set("form", form);
      expect((await post(fields, { cookie: mine.cookie, origin: berth.url })).status).toBe(400);
    }
  });
});

test("the page runs nothing, is framed by nobody, and shows what it is given as text", async () => {
  const page = await open(new Browser(), { state: `"><script>alert(1)</script>` });
  expect(page.html).not.toMatch(/<script|javascript:|\son\w+=/i);
  const policy = page.headers.get("content-security-policy") as string;
  for (const part of ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"]) {
    expect(policy).toContain(part);
  }
  expect(policy).not.toContain("unsafe");
  expect(page.headers.get("x-frame-options")).toBe("DENY");
  expect(page.headers.get("cache-control")).toBe("no-store");
  expect(page.headers.get("referrer-policy")).toBe("no-referrer");
  expect(page.headers.get("set-cookie")).toMatch(/; HttpOnly; SameSite=Strict/);
});

test("over TLS the cookie is of this host alone", async () => {
  const tls = { tls: { ca: await Bun.file(secure.ca).text() } };
  const page = await fetch(`${secure.url}${formPath}?${parameters()}`, tls);
  expect(page.headers.get("set-cookie")).toMatch(
    /^__Host-berth-form=[^;]+; Path=\/; HttpOnly; SameSite=Strict; Max-Age=\d+; Secure$/,
  );
});

describe("who guesses", () => {
  const attempt = async (address: string, guess: string): Promise<Page> => {
    const { fields, cookie } = await formOf();
    fields.set("password", guess);
    const reply = await post(fields, { cookie, "x-forwarded-for": address });
    return { url: "", status: reply.status, headers: reply.headers, html: await reply.text() };
  };

  test("passwords has to wait, and the owner of the name does not", async () => {
    let page = await attempt("198.51.100.7", "guess");
    for (let i = 0; i < 30 && !page.html.includes("Too many attempts"); i++)
      page = await attempt("198.51.100.7", `guess ${i}`);
    expect(page.html).toContain("Too many attempts");
    // The right one is not looked at either: nobody learns that it is right.
    expect((await attempt("198.51.100.7", password)).status).toBe(401);
    expect((await attempt("203.0.113.9", password)).status).toBe(303);
  });

  test("key files too", async () => {
    const robot = await makeAccount(berth, "robot");
    const wrong = robot.key.replace(/"private_key": ?"[^"]+"/, '"private_key":"x"');
    const status = async (key: string, address: string): Promise<number> => {
      const headers = { authorization: basic(key), "x-forwarded-for": address };
      return (await fetch(`${berth.url}/v2/`, { headers })).status;
    };
    await until(async () => (await status(wrong, "198.51.100.8")) === 429 || undefined);
    expect(await status(robot.key, "203.0.113.9")).toBe(200);
    // Others behind the same address who have the right file come in: a file cannot be guessed.
    expect(await status(robot.key, "198.51.100.8")).toBe(200);
  });
});

test("the processes on one port count together", async () => {
  const args = ["--workers", "3", "--trusted-proxies", "127.0.0.1", "--limits-requests", "30"];
  const several = await startBerth({ args });
  try {
    const status = async (): Promise<number> => {
      const headers = { "x-forwarded-for": "198.51.100.9", connection: "close" };
      return (await fetch(`${several.url}/v2/`, { headers, keepalive: false })).status;
    };
    let [taken, refused] = [0, 0];
    // One process after the other hears that it was enough; alone each would take thirty.
    await until(async () => {
      const statuses = [await status()];
      taken += statuses.filter((each) => each === 401).length;
      refused = statuses.every((each) => each === 429) ? refused + 1 : 0;
      return refused > 20 || undefined;
    }, 20_000);
    const later = await Promise.all(Array.from({ length: 30 }, status));
    expect(new Set(later)).toEqual(new Set([429]));
    expect(taken).toBeLessThan(90);
  } finally {
    await several.stop();
  }
});

test("an address has its quota of requests, and the machine itself has none", async () => {
  const small = await startBerth({ args: ["--trusted-proxies", "127.0.0.1", "--limits-requests", "25"] });
  const get = (address?: string): Promise<Response> =>
    fetch(`${small.url}/v2/`, address === undefined ? {} : { headers: { "x-forwarded-for": address } });
  const statuses: number[] = [];
  for (let i = 0; i < 30; i++) statuses.push((await get("198.51.100.9")).status);
  expect(statuses).toEqual([...Array<number>(25).fill(401), ...Array<number>(5).fill(429)]);
  const refused = await get("198.51.100.9");
  expect(Number(refused.headers.get("retry-after"))).toBeWithin(1, 601);
  expect((await get("198.51.100.10")).status).toBe(401);
  for (let i = 0; i < 30; i++) expect((await get()).status).toBe(401);
  await small.stop();
});
