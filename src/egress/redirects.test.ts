import { expect, test } from "bun:test";
import { ca, certificate } from "./certificate.suite.ts";
import { EgressError } from "./egress-error.ts";
import { Egress, type FetchOptions } from "./egress.ts";
import { redirected, type Method } from "./outgoing.ts";
import { failure, http, serve } from "./servers.suite.ts";

const usual: FetchOptions = { maxBytes: 1000, timeout: 5000, maxRedirects: 3 };
const tls = certificate;
const guarded = new Egress({ allow: ["127.0.0.1"], ca }, (host) =>
  Promise.resolve(host === "inner.example" ? ["10.0.0.1"] : ["127.0.0.1"]),
);
const to = (location: string, status = "302 Found"): Buffer => http(status, { location }, "moved");

const kindOf = async (work: Promise<unknown>): Promise<string> => {
  const error = await failure(work);
  expect(error).toBeInstanceOf(EgressError);
  return (error as EgressError).kind;
};

test("with none to follow, a redirect is the answer", async () => {
  await using server = await serve((socket) => socket.end(to("http://169.254.169.254/")));
  const reply = await guarded.fetch(`http://a.example:${server.port}/`, { ...usual, maxRedirects: 0 });
  expect([reply.status, reply.headers.get("location"), reply.body.toString()]).toEqual([
    302,
    "http://169.254.169.254/",
    "moved",
  ]);
});

test("they are followed to their end", async () => {
  const pages: Record<string, Buffer> = {
    "/one": to("two?x=1#part"),
    "/two?x=1": to("/three", "307 Temporary Redirect"),
    "/three": http("200 OK", {}, "there"),
  };
  await using server = await serve((socket, head) => socket.end(pages[head.split(" ")[1] as string] as Buffer));
  const origin = `http://a.example:${server.port}`;
  const reply = await guarded.fetch(`${origin}/one`, usual);
  expect([reply.status, reply.body.toString(), reply.url]).toEqual([200, "there", `${origin}/three`]);
  expect((await guarded.fetch(`${origin}/one`, { ...usual, maxRedirects: 2 })).status).toBe(200);
  expect(await kindOf(guarded.fetch(`${origin}/one`, { ...usual, maxRedirects: 1 }))).toBe("redirects");
});

test("a loop ends", async () => {
  await using server = await serve((socket) => socket.end(to("/")));
  expect(await kindOf(guarded.fetch(`http://a.example:${server.port}/`, usual))).toBe("redirects");
  expect(server.requests.length).toBe(4);
});

test("each hop is judged as the first", async () => {
  for (const [location, kind] of [
    ["http://169.254.169.254/computeMetadata/v1/", "address"],
    ["https://169.254.169.254/", "address"],
    ["http://0xa9fea9fe/", "address"],
    ["//[::ffff:169.254.169.254]/", "address"],
    ["https://inner.example/", "address"],
    ["https://[fd00::1]/", "address"],
    ["http://8.8.8.8/", "url"],
    ["https://user:password@a.example/", "url"],
    ["file:///etc/passwd", "url"],
    ["https://", "url"],
  ] as const) {
    await using server = await serve((socket) => socket.end(to(location)));
    expect([location, await kindOf(guarded.fetch(`http://a.example:${server.port}/`, usual))]).toEqual([
      location,
      kind,
    ]);
  }
});

test("each hop is resolved anew", async () => {
  const answers = [["127.0.0.1"], ["10.0.0.1"]];
  const rebound = new Egress({ allow: ["127.0.0.1"] }, () => Promise.resolve(answers.shift() as string[]));
  await using server = await serve((socket) => socket.end(to("/")));
  expect(await kindOf(rebound.fetch(`http://a.example:${server.port}/`, usual))).toBe("address");
});

test("from HTTPS there is no way back", async () => {
  await using plain = await serve((socket) => socket.end(http("200 OK", {})));
  await using server = await serve((socket) => socket.end(to(`http://a.example:${plain.port}/`)), { tls });
  expect(await kindOf(guarded.fetch(`https://reg.example:${server.port}/`, usual))).toBe("redirects");
  expect(plain.connections).toBe(0);
});

test("a status that only looks like one is an answer", async () => {
  for (const reply of [http("302 Found", {}), to("/", "300 Multiple Choices"), to("/", "304 Not Modified")]) {
    await using server = await serve((socket) => socket.end(reply));
    expect((await guarded.fetch(`http://a.example:${server.port}/`, usual)).status).toBeLessThan(305);
    expect(server.requests.length).toBe(1);
  }
});

test("credentials stay with the origin they are for", async () => {
  await using other = await serve((socket) => socket.end(http("200 OK", {})));
  await using server = await serve((socket, head) =>
    socket.end(to(head.startsWith("GET /here") ? `http://a.example:${other.port}/` : "/here")),
  );
  const headers = { authorization: "Bearer token", cookie: "a=b", accept: "a/b" };
  await guarded.fetch(`http://a.example:${server.port}/`, { ...usual, headers });
  expect(server.requests.map((head) => /Bearer token/.test(head) && /a=b/.test(head))).toEqual([true, true]);
  expect(other.requests[0]).toMatch(/\r\naccept: a\/b\r\n/i);
  expect(other.requests[0]).not.toMatch(/authorization|cookie/i);
});

test("method and body (RFC 9110 section 15.4)", () => {
  for (const [status, method, becomes] of [
    [301, "POST", "GET"],
    [302, "POST", "GET"],
    [303, "POST", "GET"],
    [303, "PUT", "GET"],
    [303, "HEAD", "HEAD"],
    [303, "GET", "GET"],
    [301, "PUT", "PUT"],
    [302, "DELETE", "DELETE"],
    [307, "POST", "POST"],
    [308, "POST", "POST"],
    [308, "PATCH", "PATCH"],
  ] as [number, Method, Method][]) {
    const url = new URL("https://a.example/");
    const headers = new Headers({ "content-type": "a/b", accept: "c/d" });
    const body = method === "GET" || method === "HEAD" ? undefined : "text";
    const reply = new Response(null, { status, headers: { location: "/next" } });
    const next = redirected({ url, method, headers, body }, reply);
    const kept = becomes === method;
    expect([status, method, next?.method, next?.url.href, next?.body]).toEqual([
      status,
      method,
      becomes,
      "https://a.example/next",
      kept ? body : undefined,
    ]);
    expect([next?.headers.get("content-type"), next?.headers.get("accept")]).toEqual([kept ? "a/b" : null, "c/d"]);
  }
});
