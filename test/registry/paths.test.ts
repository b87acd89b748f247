import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Berth, startBerth } from "../harness/berth.ts";
import { basic, bearer, callerOf, expectReply } from "../harness/caller.ts";
import { pushImage } from "../harness/content.ts";
import { rawExchange, rawHead, rawRequest, type RawReply } from "../harness/raw-http.ts";

const repository = "my-project/paths/app";
const secret = "my-project/paths/secret";

let berth: Berth;
let full: string;
let narrow: string;
beforeAll(async () => {
  berth = await startBerth();
  full = basic(berth.key);
  const caller = callerOf(berth);
  for (const name of [repository, secret]) await pushImage(caller, name, name, "v1");
  narrow = bearer(await berth.token(`repository:${repository}:pull`));
});
afterAll(() => berth.stop());

/** Sends the target of a request exactly as it stands, which `fetch` would tidy up. */
function get(target: string, authorization = full, host = "localhost"): Promise<RawReply> {
  return rawRequest(berth.port, rawHead(`GET ${target}`, { host, authorization }));
}

const codeOf = ({ body }: RawReply): string | undefined =>
  (JSON.parse(body.toString("utf8")) as { errors: { code: string }[] }).errors[0]?.code;

describe("a second spelling of a path is refused", () => {
  const rows: [string, string, number, string][] = [
    ["an encoded slash in the name", "/v2/my-project%2Fpaths/app/manifests/v1", 400, "NAME_INVALID"],
    ["an encoded slash, small", "/v2/my-project%2fpaths/app/manifests/v1", 400, "NAME_INVALID"],
    ["an encoded slash before the tag", "/v2/my-project/paths/app/manifests%2Fv1", 404, "NOT_FOUND"],
    ["an encoded slash in the tag", "/v2/my-project/paths/app/manifests/x%2Fv1", 400, "TAG_INVALID"],
    ["encoded dots that stay in the reference", "/v2/my-project/paths/app/manifests/%2e%2e%2fv1", 400, "TAG_INVALID"],
    ["a letter in the name escaped", "/v2/my-project/paths/%61pp/manifests/v1", 400, "NAME_INVALID"],
    ["two slashes", "/v2/my-project/paths//app/manifests/v1", 400, "NAME_INVALID"],
    ["two slashes after v2", "/v2//my-project/paths/app/manifests/v1", 400, "NAME_INVALID"],
    ["two slashes at the front", "//v2/my-project/paths/app/manifests/v1", 404, "NOT_FOUND"],
    ["a slash at the end", "/v2/my-project/paths/app/manifests/v1/", 404, "NOT_FOUND"],
    ["a slash after the listing", "/v2/my-project/paths/app/tags/list/", 404, "NOT_FOUND"],
    ["an encoded NUL in the name", "/v2/my-project/paths/app%00/manifests/v1", 400, "NAME_INVALID"],
    ["an encoded NUL in the tag", "/v2/my-project/paths/app/manifests/v1%00", 400, "TAG_INVALID"],
    ["an encoded line end in the tag", "/v2/my-project/paths/app/manifests/v1%0d%0a", 400, "TAG_INVALID"],
    ["an escape that is none", "/v2/my-project/paths/app/manifests/%zz", 400, "TAG_INVALID"],
    ["escapes that are no UTF-8", "/v2/my-project/paths/app/manifests/%ff%fe", 400, "TAG_INVALID"],
    ["escapes that are no UTF-8 in the name", "/v2/my-project/paths/app%ff/manifests/v1", 400, "NAME_INVALID"],
    ["an escape of an escape", "/v2/my-project/paths/app/manifests/%2576%31", 400, "TAG_INVALID"],
    ["capitals in the name", "/v2/my-project/paths/App/manifests/v1", 400, "NAME_INVALID"],
    ["capitals in v2", "/V2/my-project/paths/app/manifests/v1", 404, "NOT_FOUND"],
    ["a semicolon", "/v2/my-project/paths/app;x=y/manifests/v1", 400, "NAME_INVALID"],
    ["a digest for a name", `/v2/my-project/paths/app@sha256:${"0".repeat(64)}/manifests/v1`, 400, "NAME_INVALID"],
  ];
  test.each(rows)("%s", async (_, target, status, code) => {
    const reply = await get(target);
    expect([reply.status, codeOf(reply)]).toEqual([status, code]);
  });

  test.each([
    ["bytes that are no UTF-8", "/v2/my-project/paths/\xff\xfe/manifests/v1"],
    ["UTF-8", "/v2/my-project/paths/\xc3\xa4pp/manifests/v1"],
    ["a NUL", "/v2/my-project/paths/app\0/manifests/v1"],
    ["a tab", "/v2/my-project/paths/app\t/manifests/v1"],
  ])("%s as they are", async (_, target) => {
    expect((await get(target)).status).toBeWithin(400, 600);
  });
});

describe("dots are resolved before anything is decided", () => {
  const rows: [string, string][] = [
    ["..", "/v2/my-project/paths/app/../secret/manifests/v1"],
    ["%2e%2e", "/v2/my-project/paths/app/%2e%2e/secret/manifests/v1"],
    ["%2E.", "/v2/my-project/paths/app/%2E./secret/manifests/v1"],
    [".. with a backslash", "/v2/my-project/paths/app\\..\\secret\\manifests\\v1"],
    ["past the root", "/../../v2/my-project/paths/secret/manifests/v1"],
    [".", "/v2/./my-project/paths/./secret/manifests/v1"],
    [".. below another repository's blobs", "/v2/my-project/paths/app/blobs/../../secret/manifests/v1"],
  ];
  test.each(rows)("%s: a token for one repository does not open the next", async (_, target) => {
    for (const authorization of [narrow, ""]) {
      const reply = await get(target, authorization);
      expect([400, 401, 404]).toContain(reply.status);
      expect(reply.headers.get("docker-content-digest")).toBeNull();
    }
    // For one who may, it is the plain path or none.
    expect([200, 400, 404]).toContain((await get(target)).status);
  });

  test("the token does open its own", async () => {
    const reply = await get(`/v2/${repository}/manifests/v1`, narrow);
    expect(reply.status).toBe(200);
  });
});

describe("the form of the target", () => {
  test("an absolute URI, as proxies get it", async () => {
    const reply = await get(`http://localhost/v2/${repository}/manifests/v1`, narrow);
    expect(reply.status).toBe(200);
    expect((await get(`http://localhost/v2/${secret}/manifests/v1`, narrow)).status).toBe(401);
  });

  test("an absolute URI of another host: no way out, and no way to another host's registry", async () => {
    await pushImage(callerOf(berth, { host: "us.gcr.io" }), secret, "american", "us-only");
    for (const authorization of [narrow, ""]) {
      for (const [uri, host] of [
        ["us.gcr.io", "localhost"],
        ["localhost", "us.gcr.io"],
      ] as const) {
        expect((await get(`http://${uri}/v2/${secret}/manifests/us-only`, authorization, host)).status).toBe(401);
      }
    }
    const away = await get("http://127.0.0.1:1/v2/", full);
    expect([200, 400, 401, 404]).toContain(away.status);
  });

  test.each(["*", "localhost:443", "v2/", "?x", "#/v2/"])("%s is no path", async (target) => {
    for (const method of ["GET", "OPTIONS", "CONNECT"]) {
      // Closing without a word is a refusal too.
      const replies = await rawExchange(berth.port, rawHead(`${method} ${target}`, { authorization: full }));
      for (const { status } of replies) expect(status).toBeWithin(400, 500);
    }
    expectReply(await callerOf(berth).send("GET", "/v2/"), { status: 200 });
  });

  test("a query does not reach into the path", async () => {
    for (const query of ["?/../secret", "?%2e%2e", "#/../secret"]) {
      const reply = await get(`/v2/${repository}/manifests/v1${query}`, narrow);
      expect([200, 400, 404]).toContain(reply.status);
    }
  });
});

describe("the Host header", () => {
  const malformed = [
    'evil",scope="x',
    "a b",
    "evil.example/path",
    "evil@example",
    "evil\\x",
    "localhost, gcr.io",
    "a?b",
    "a#b",
  ];

  // [RFC 9112 section 3.2]
  test.each(malformed)("%s is none: refused, with no challenge of its making", async (host) => {
    const reply = await rawRequest(berth.port, rawHead("GET /v2/", { host }));
    expect([reply.status, reply.headers.get("www-authenticate")]).toEqual([400, null]);
  });

  test("two of them are refused", async () => {
    const reply = await rawRequest(berth.port, "GET /v2/ HTTP/1.1\r\nhost: us.gcr.io\r\nhost: gcr.io\r\n\r\n");
    expect([reply.status, reply.headers.get("www-authenticate")]).toEqual([400, null]);
  });

  test.each(malformed)("%s does not move where the path begins", async (host) => {
    for (const target of ["/x/v2/_catalog", "/x//y/v2/_catalog", "/x/metrics", "/x/healthz"]) {
      const reply = await rawRequest(berth.port, rawHead(`GET ${target}`, { host, authorization: full }));
      expect(reply.status).toBeWithin(400, 500);
    }
  });

  // As HAProxy's health checks do.
  test("HTTP/1.0 has none", async () => {
    const replies = await Promise.all(
      ["/healthz", "/v2/"].map((path) => rawRequest(berth.port, `GET ${path} HTTP/1.0\r\n\r\n`)),
    );
    expect(replies.map(({ status }) => status)).toEqual([200, 401]);
  });
});
