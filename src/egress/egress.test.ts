import { expect, test } from "bun:test";
import { createServer, type AddressInfo } from "node:net";
import { inspect } from "node:util";
import { ca, certificate } from "./certificate.suite.ts";
import { EgressError } from "./egress-error.ts";
import { Egress, type EgressOptions, type FetchOptions } from "./egress.ts";
import { failure, http, serve } from "./servers.suite.ts";

const usual: FetchOptions = { maxBytes: 1000, timeout: 5000, maxRedirects: 0 };
const tls = certificate;
const ok = http("200 OK", { "content-type": "text/plain" }, "hello");

/** An egress that may reach this machine, and for which names have the given addresses. */
function egress(names: Record<string, string[]> = {}, options: Partial<EgressOptions> = {}): Egress {
  return new Egress({ allow: ["127.0.0.0/8", "::1"], ca, ...options }, (host) =>
    Promise.resolve(names[host] ?? ["127.0.0.1"]),
  );
}

const refusal = async (work: Promise<unknown>): Promise<EgressError> => {
  const error = await failure(work);
  expect(error).toBeInstanceOf(EgressError);
  return error as EgressError;
};

test("the connection goes to the address, all names are the URL's", async () => {
  await using server = await serve((socket) => socket.end(ok), { tls });
  const url = `https://Reg.Example.:${server.port}/v2/?a=b#part`;
  const reply = await egress().fetch(url, usual);
  expect(reply).toEqual({
    status: 200,
    headers: new Headers({ "content-length": "5", "content-type": "text/plain" }),
    body: Buffer.from("hello"),
    url: `https://reg.example:${server.port}/v2/?a=b`,
  });
  expect(server.names).toEqual(["reg.example"]);
  expect(server.requests[0]).toStartWith("GET /v2/?a=b HTTP/1.1\r\n");
  expect(server.requests[0]).toContain(`\r\nHost: reg.example:${server.port}\r\n`);
});

test("a name that moves after it was judged changes nothing (DNS rebinding)", async () => {
  await using good = await serve((socket) => socket.end(ok), { tls });
  await using bad = await serve((socket) => socket.end(ok), { tls, address: "127.0.0.2", port: good.port });
  const answers = [["127.0.0.1"], ["127.0.0.2"]];
  let asked = 0;
  const resolve = (): Promise<string[]> => Promise.resolve(answers[asked++] as string[]);
  const url = `https://reg.example:${good.port}/`;
  const guarded = new Egress({ allow: ["127.0.0.1"], ca }, resolve);
  expect((await guarded.fetch(url, usual)).status).toBe(200);
  expect(asked).toBe(1);
  expect((await refusal(guarded.fetch(url, usual))).kind).toBe("address");
  expect([good.connections, bad.connections]).toEqual([1, 0]);
});

test("the certificate must be the URL's", async () => {
  await using server = await serve((socket) => socket.end(ok), { tls });
  const at = (host: string): string => `https://${host}:${server.port}/`;
  const kindOf = async (work: Promise<unknown>): Promise<string> => (await refusal(work)).kind;
  expect(await kindOf(egress().fetch(at("other.example"), usual))).toBe("tls");
  expect(await kindOf(egress().fetch(at("127.0.0.2"), usual))).toBe("connection");
  expect(await kindOf(egress({}, { ca: undefined }).fetch(at("reg.example"), usual))).toBe("tls");
  expect(server.requests).toEqual([]);
  process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
  try {
    expect(await kindOf(egress({}, { ca: undefined }).fetch(at("reg.example"), usual))).toBe("tls");
  } finally {
    delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
  }
  // A connection or session of one name does not open the way to another.
  expect((await egress().fetch(at("reg.example"), usual)).status).toBe(200);
  expect(await kindOf(egress().fetch(at("other.example"), usual))).toBe("tls");
});

test("an address in the URL is looked for in the certificate as one", async () => {
  await using four = await serve((socket) => socket.end(ok), { tls });
  await using six = await serve((socket) => socket.end(ok), { tls, address: "::1" });
  expect((await egress().fetch(`https://2130706433:${four.port}/`, usual)).status).toBe(200);
  expect((await egress().fetch(`https://[::1]:${six.port}/`, usual)).status).toBe(200);
  expect(six.requests[0]).toContain(`\r\nHost: [::1]:${six.port}\r\n`);
  await using other = await serve((socket) => socket.end(ok), { tls, address: "127.0.0.2" });
  expect((await refusal(egress().fetch(`https://127.0.0.2:${other.port}/`, usual))).kind).toBe("tls");
});

test("one address that is not public is enough, in whichever place and form", async () => {
  for (const special of ["10.0.0.1", "169.254.169.254", "fe80::1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"]) {
    for (const addresses of [[special], ["8.8.8.8", special], [special, "8.8.8.8"]]) {
      const guarded = new Egress({ allow: [] }, () => Promise.resolve(addresses));
      const error = await refusal(guarded.fetch("https://metadata.example/latest?token=secret", usual));
      expect(error.kind).toBe("address");
      expect(error.message).toMatch(/^metadata\.example: its address is not a public one \(\w+\)$/);
    }
  }
});

test("what may be reached all the same, and over plain HTTP", async () => {
  await using server = await serve((socket) => socket.end(ok));
  const kindOf = async (allow: string[], host: string, addresses = ["127.0.0.1"]): Promise<string> => {
    const guarded = new Egress({ allow }, () => Promise.resolve(addresses));
    const error = await failure(guarded.fetch(`http://${host}:${server.port}/`, usual));
    return error === undefined ? "reached" : (error as EgressError).kind;
  };
  expect(await kindOf(["reg.example"], "reg.example")).toBe("reached");
  expect(await kindOf(["*.example"], "reg.example.")).toBe("reached");
  expect(await kindOf(["127.0.0.0/8"], "reg.example")).toBe("reached");
  expect(await kindOf(["127.0.0.1"], "127.1")).toBe("reached");
  expect(await kindOf(["127.0.0.1"], "reg.example", ["127.0.0.1", "127.0.0.2"])).toBe("address");
  expect(await kindOf(["127.0.0.1"], "reg.example", ["127.0.0.1", "8.8.8.8"])).toBe("url");
  expect(await kindOf(["other.example"], "reg.example", ["8.8.8.8"])).toBe("url");
  expect(await kindOf([], "8.8.8.8")).toBe("url");
});

test("the system's resolver", async () => {
  await using server = await serve((socket) => socket.end(ok));
  for (const host of ["localhost", "LOCALHOST."]) {
    const url = `http://${host}:${server.port}/`;
    expect((await refusal(new Egress({ allow: [] }).fetch(url, usual))).kind).toBe("address");
    expect((await new Egress({ allow: ["localhost"] }).fetch(url, usual)).status).toBe(200);
  }
});

test("names without a usable address", async () => {
  const kindOf = async (resolve: () => Promise<string[]>): Promise<string> =>
    (await refusal(new Egress({ allow: ["*.example"] }, resolve).fetch("https://reg.example/", usual))).kind;
  expect(await kindOf(() => Promise.resolve([]))).toBe("dns");
  expect(await kindOf(() => Promise.reject(Object.assign(new Error("no"), { code: "ENOTFOUND" })))).toBe("dns");
  expect(await kindOf(() => Promise.resolve(["fe80::1%eth0"]))).toBe("dns");
  expect(await kindOf(() => Promise.resolve(["not an address"]))).toBe("dns");
});

test("a resolver that does not answer is not waited for", async () => {
  const silent = new Egress({ allow: [] }, () => new Promise(() => undefined));
  expect((await refusal(silent.fetch("https://reg.example/", { ...usual, timeout: 50 }))).kind).toBe("timeout");
});

test("the next address is tried where no connection was made, and only there", async () => {
  await using server = await serve((socket) => socket.end(ok), { tls, address: "127.0.0.3" });
  await using mute = await serve(() => undefined, { address: "127.0.0.2", port: server.port });
  const url = `https://reg.example:${server.port}/`;
  const names = { "reg.example": ["127.0.0.1", "127.0.0.2", "127.0.0.3"] };
  const reply = await egress(names, { connectTimeout: 200 }).fetch(url, { ...usual, method: "POST", body: "once" });
  expect(reply.status).toBe(200);
  expect([mute.connections, server.requests.length]).toEqual([1, 1]);

  await using rude = await serve((socket) => socket.destroy(), { tls, address: "127.0.0.4", port: server.port });
  const error = await refusal(egress({ "reg.example": ["127.0.0.4", "127.0.0.3"] }).fetch(url, usual));
  expect(error.kind).toBe("connection");
  expect([rude.requests.length, server.requests.length]).toEqual([1, 1]);
  const none = await refusal(
    egress({ "reg.example": ["127.0.0.1", "127.0.0.2"] }, { connectTimeout: 50 }).fetch(url, usual),
  );
  expect([none.kind, none.message]).toEqual(["connection", "reg.example: no connection within 50 ms"]);
});

test("plain HTTP tries the next address too", async () => {
  await using server = await serve((socket) => socket.end(ok), { address: "127.0.0.3" });
  const names = { "reg.example": ["127.0.0.1", "127.0.0.3"] };
  expect((await egress(names).fetch(`http://reg.example:${server.port}/`, usual)).status).toBe(200);
});

test("proxies of the environment do not count by themselves", async () => {
  await using server = await serve((socket) => socket.end(ok), { tls });
  await using proxy = await serve((socket) => socket.end());
  const before = process.env["HTTPS_PROXY"];
  process.env["HTTPS_PROXY"] = `http://127.0.0.1:${proxy.port}`;
  try {
    expect((await egress().fetch(`https://reg.example:${server.port}/`, usual)).status).toBe(200);
  } finally {
    if (before === undefined) delete process.env["HTTPS_PROXY"];
    else process.env["HTTPS_PROXY"] = before;
  }
  expect(proxy.connections).toBe(0);
});

test("what is sent", async () => {
  await using server = await serve((socket) => socket.end(http("201 Created", { "set-cookie": "a=b" })));
  const reply = await egress().fetch(`http://reg.example:${server.port}/`, {
    ...usual,
    method: "PUT",
    headers: {
      Authorization: "Bearer token",
      Host: "evil.example",
      "Accept-Encoding": "gzip",
      "Proxy-Authorization": "Basic x",
      Connection: "upgrade",
      Upgrade: "websocket",
      "Content-Length": "99",
      "Transfer-Encoding": "chunked",
    },
    body: new Uint8Array([0x68, 0x69]),
  });
  expect([reply.status, reply.headers.getSetCookie()]).toEqual([201, ["a=b"]]);
  const [head, body] = (server.requests[0] as string).split("\r\n\r\n") as [string, string];
  expect(head.toLowerCase().split("\r\n").sort()).toEqual([
    "accept-encoding: identity",
    "accept: */*",
    "authorization: bearer token",
    "content-length: 2",
    `host: reg.example:${server.port}`,
    "put / http/1.1",
    "user-agent: berth",
  ]);
  expect(body).toBe("hi");
});

test("every status is an answer", async () => {
  for (const status of [204, 304, 404, 429, 503]) {
    await using server = await serve((socket) => socket.end(http(`${status} So`, {})));
    expect((await egress().fetch(`http://reg.example:${server.port}/`, usual)).status).toBe(status);
  }
});

test("no error shows more than host and reason", async () => {
  const closed = createServer();
  await new Promise<void>((resolve) => closed.listen(0, "127.0.0.1", resolve));
  const { port } = closed.address() as AddressInfo;
  await new Promise((resolve) => closed.close(resolve));
  await using server = await serve((socket) => socket.end("secret garbage\r\n\r\n"), { tls });
  await using plain = await serve((socket) => socket.end("HTTP/1.1 200 OK\r\n\r\n"));
  const urls = [port, server.port, plain.port].map((each) => `https://reg.example:${each}/secret?secret=secret`);
  const wrong = [`https://secret:secret@reg.example:${server.port}/`, `https://other.example:${server.port}/secret`];
  for (const url of [...urls, ...wrong]) {
    const error = await refusal(
      egress().fetch(url, { ...usual, headers: { authorization: "secret" }, body: "secret", method: "POST" }),
    );
    expect(inspect(error, { depth: 9, showHidden: true }).replaceAll(/\n\s+at .*/g, "")).not.toContain("secret");
    expect(error.message).toMatch(/^(reg|other)\.example: /);
  }
});

test("options that are none are refused", () => {
  expect(() => new Egress({ allow: ["10/8"] })).toThrow('"10/8" is neither');
  expect(() => new Egress({ allow: [], ca: "nothing" })).toThrow("holds none");
  expect(() => new Egress({ allow: [], ca: "-----BEGIN CERTIFICATE-----\nbm8=\n-----END CERTIFICATE-----" })).toThrow();
  expect(() => new Egress({ allow: [], proxy: { https: "socks5://a" } })).toThrow("HTTPS_PROXY");
});
