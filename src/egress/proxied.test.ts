import { expect, test } from "bun:test";
import { ca, certificate } from "./certificate.suite.ts";
import { EgressError } from "./egress-error.ts";
import { Egress, type EgressOptions, type FetchOptions } from "./egress.ts";
import { failure, http, proxyServer, serve, type TestServer } from "./servers.suite.ts";

const usual: FetchOptions = { maxBytes: 1000, timeout: 5000, maxRedirects: 2 };
const tls = certificate;
const ok = http("200 OK", {}, "hello");
const unknown = (): Promise<string[]> => Promise.reject(Object.assign(new Error("no"), { code: "ENOTFOUND" }));

/** An egress behind a proxy, which knows no names itself unless told. */
function behind(proxy: TestServer, options: Partial<EgressOptions> = {}, resolve = unknown): Egress {
  const settings = { https: `http://us%40er:pass@127.0.0.1:${proxy.port}`, http: `http://127.0.0.1:${proxy.port}` };
  return new Egress({ allow: [], ca, ...options, proxy: { ...settings, ...options.proxy } }, resolve);
}

const kindOf = async (work: Promise<unknown>): Promise<string> => {
  const error = await failure(work);
  expect(error).toBeInstanceOf(EgressError);
  return (error as EgressError).kind;
};

test("a tunnel by the name, with the proxy's credentials for the proxy only", async () => {
  await using proxy = await proxyServer();
  await using server = await serve((socket) => socket.end(ok), { tls });
  const reply = await behind(proxy).fetch(`https://reg.example:${server.port}/`, usual);
  expect(reply.body.toString()).toBe("hello");
  expect(proxy.requests.length).toBe(1);
  expect(proxy.requests[0]).toStartWith(`CONNECT reg.example:${server.port} HTTP/1.1\r\n`);
  expect(proxy.requests[0]).toContain(`\r\nProxy-Authorization: Basic ${btoa("us@er:pass")}\r\n`);
  expect(server.requests[0]).toContain(`\r\nHost: reg.example:${server.port}\r\n`);
  expect(server.requests[0]).not.toMatch(/proxy/i);
  expect(server.names).toEqual(["reg.example"]);
});

test("the certificate is checked through the tunnel", async () => {
  await using proxy = await proxyServer();
  await using server = await serve((socket) => socket.end(ok), { tls });
  expect(await kindOf(behind(proxy).fetch(`https://other.example:${server.port}/`, usual))).toBe("tls");
  expect(await kindOf(behind(proxy, { ca: undefined }).fetch(`https://reg.example:${server.port}/`, usual))).toBe(
    "tls",
  );
  expect(server.requests).toEqual([]);
});

test("what is known here not to be public is not asked of the proxy", async () => {
  await using proxy = await proxyServer();
  const here = (...addresses: string[]): Egress => behind(proxy, {}, () => Promise.resolve(addresses));
  expect(await kindOf(behind(proxy).fetch("https://169.254.169.254/", usual))).toBe("address");
  expect(await kindOf(behind(proxy).fetch("https://0x0a000001/", usual))).toBe("address");
  expect(await kindOf(behind(proxy).fetch("https://[::ffff:10.0.0.1]/", usual))).toBe("address");
  expect(await kindOf(behind(proxy).fetch("https://localhost/", usual))).toBe("dns");
  expect(await kindOf(here("8.8.8.8", "10.0.0.1").fetch("https://reg.example/", usual))).toBe("address");
  expect(await kindOf(here("fe80::1%eth0").fetch("https://reg.example/", usual))).toBe("dns");
  expect(proxy.connections).toBe(0);
});

test("a redirect is judged before the proxy hears of it", async () => {
  await using proxy = await proxyServer();
  await using server = await serve((socket) => socket.end(http("302 Found", { location: "https://10.0.0.1/" })), {
    tls,
  });
  expect(await kindOf(behind(proxy).fetch(`https://reg.example:${server.port}/`, usual))).toBe("address");
  expect(proxy.connections).toBe(1);
});

test("plain HTTP goes through the proxy to names that are allowed", async () => {
  await using proxy = await proxyServer();
  await using server = await serve((socket) => socket.end(ok));
  const url = `http://reg.example:${server.port}/x`;
  expect(await kindOf(behind(proxy).fetch(url, usual))).toBe("url");
  expect((await behind(proxy, { allow: ["reg.example"] }).fetch(url, usual)).status).toBe(200);
  expect(proxy.requests[0]).toStartWith(`GET ${url} HTTP/1.1\r\n`);
  expect(proxy.requests[0]).toContain(`\r\nHost: reg.example:${server.port}\r\n`);
});

test("NO_PROXY, ours and not the environment's", async () => {
  await using proxy = await proxyServer();
  await using server = await serve((socket) => socket.end(ok), { tls });
  const url = `https://reg.example:${server.port}/`;
  const direct = behind(proxy, { allow: ["127.0.0.1"], proxy: { except: ".example" } }, () =>
    Promise.resolve(["127.0.0.1"]),
  );
  expect((await direct.fetch(url, usual)).status).toBe(200);
  expect(proxy.connections).toBe(0);
  const before = process.env["NO_PROXY"];
  process.env["NO_PROXY"] = "*";
  try {
    expect((await behind(proxy).fetch(url, usual)).status).toBe(200);
  } finally {
    if (before === undefined) delete process.env["NO_PROXY"];
    else process.env["NO_PROXY"] = before;
  }
  expect(proxy.connections).toBe(1);
});

test("a proxy that is reached over TLS", async () => {
  await using proxy = await proxyServer({ tls });
  await using server = await serve((socket) => socket.end(ok), { tls });
  const url = `https://reg.example:${server.port}/`;
  const https = `https://127.0.0.1:${proxy.port}`;
  expect((await behind(proxy, { proxy: { https } }).fetch(url, usual)).status).toBe(200);
  const wrong = `https://localhost:${proxy.port}`;
  expect(await kindOf(behind(proxy, { proxy: { https: wrong } }).fetch(url, usual))).toBe("tls");
});

test("a proxy that refuses, misbehaves or is not there", async () => {
  const url = "https://reg.example/secret";
  for (const status of ["403 No", "407 Proxy Authentication Required", "302 Found", "500 Secret"]) {
    await using proxy = await serve((socket) => socket.end(http(status, { location: "https://evil/" }, "secret")));
    const error = (await failure(behind(proxy).fetch(url, usual))) as EgressError;
    expect(error).toBeInstanceOf(EgressError);
    expect([error.kind, error.message]).toEqual(["connection", "reg.example: the proxy refuses to connect to it"]);
  }
  const gone = await proxyServer();
  await gone[Symbol.asyncDispose]();
  expect(await kindOf(behind(gone).fetch(url, usual))).toBe("connection");
  await using mute = await serve(() => undefined);
  expect(await kindOf(behind(mute, { connectTimeout: 100 }).fetch(url, usual))).toBe("connection");
  expect(mute.connections).toBe(1);
});

test("a resolver that does not answer leaves the name to the proxy", async () => {
  await using proxy = await proxyServer();
  await using server = await serve((socket) => socket.end(ok), { tls });
  const silent = behind(proxy, {}, () => new Promise<string[]>(() => undefined));
  expect((await silent.fetch(`https://reg.example:${server.port}/`, usual)).status).toBe(200);
});
