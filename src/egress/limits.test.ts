import { expect, test } from "bun:test";
import type { Socket } from "node:net";
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { EgressError } from "./egress-error.ts";
import { Egress, type FetchOptions, type OpenOptions } from "./egress.ts";
import { failure, http, pour, serve, type TestServer } from "./servers.suite.ts";

const egress = new Egress({ allow: ["127.0.0.1"] });
const usual: FetchOptions = { maxBytes: 1000, timeout: 5000, maxRedirects: 0 };
const streamed: OpenOptions = { ...usual, idleTimeout: 5000 };
const at = (server: TestServer): string => `http://127.0.0.1:${server.port}/`;

const kindOf = async (work: Promise<unknown>): Promise<string> => {
  const error = await failure(work);
  expect(error).toBeInstanceOf(EgressError);
  return (error as EgressError).kind;
};

/** Waits for what is about to happen. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await Bun.sleep(5);
}

/** Sends a chunk now and then, for as long as someone listens. */
function drip(socket: Socket, chunk: string | Uint8Array, milliseconds: number): void {
  const timer = setInterval(() => socket.write(chunk), milliseconds);
  socket.on("close", () => clearInterval(timer));
}

test("a body may be as large as the limit, and no larger", async () => {
  const chunked = { "transfer-encoding": "chunked" };
  for (const [size, kind] of [
    [1000, undefined],
    [1001, "too-large"],
  ] as const) {
    const bytes = Buffer.alloc(size, 65);
    const chunks = Buffer.concat([Buffer.from(`${size.toString(16)}\r\n`), bytes, Buffer.from("\r\n0\r\n\r\n")]);
    const head = http("200 OK", chunked).toString().replace("content-length: 0\r\n", "");
    for (const reply of [http("200 OK", {}, bytes), Buffer.concat([Buffer.from(head), chunks])]) {
      await using server = await serve((socket) => socket.end(reply));
      const work = egress.fetch(at(server), usual);
      if (kind === undefined) expect((await work).body.length).toBe(size);
      else expect(await kindOf(work)).toBe(kind);
      await until(() => server.open.size === 0);
    }
  }
});

test("an endless body ends at the limit, and the connection with it", async () => {
  await using server = await serve((socket) => {
    socket.write("HTTP/1.1 200 OK\r\n\r\n");
    pour(socket, Buffer.alloc(65_536, 65));
  });
  expect(await kindOf(egress.fetch(at(server), { ...usual, maxBytes: 1_000_000 }))).toBe("too-large");
  await until(() => server.open.size === 0);
});

test("what comes compressed is inflated", async () => {
  const text = "the same text again and again ".repeat(20);
  for (const [coding, packed] of [
    ["gzip", gzipSync(text)],
    ["X-Gzip", gzipSync(text)],
    ["deflate", deflateSync(text)],
    ["br", brotliCompressSync(text)],
    ["zstd", zstdCompressSync(text)],
    ["identity", Buffer.from(text)],
  ] as const) {
    await using server = await serve((socket) => socket.end(http("200 OK", { "content-encoding": coding }, packed)));
    const { body, headers } = await egress.fetch(at(server), usual);
    expect([coding, body.toString()]).toEqual([coding, text]);
    if (coding !== "identity") expect([...headers]).toEqual([]);
  }
});

test("a bomb is counted as it goes off", async () => {
  const bytes = 200_000_000;
  const packed = gzipSync(Buffer.alloc(bytes), { level: 9 });
  await using server = await serve((socket) => socket.end(http("200 OK", { "content-encoding": "gzip" }, packed)));
  Bun.gc(true);
  const before = process.memoryUsage().rss;
  expect(await kindOf(egress.fetch(at(server), { ...usual, maxBytes: packed.length + 1 }))).toBe("too-large");
  expect(process.memoryUsage().rss - before).toBeLessThan(bytes / 4);
  await until(() => server.open.size === 0);
});

test("what cannot be inflated is no body", async () => {
  const packed = gzipSync("text");
  for (const [coding, bytes] of [
    ["gzip", Buffer.from("no gzip")],
    ["gzip", packed.subarray(0, 12)],
    ["gzip, gzip", gzipSync(packed)],
    ["compress", packed],
  ] as const) {
    await using server = await serve((socket) => socket.end(http("200 OK", { "content-encoding": coding }, bytes)));
    expect([coding, await kindOf(egress.fetch(at(server), usual))]).toEqual([coding, "connection"]);
  }
});

test("headers of a body that is not there are only that", async () => {
  const headers = { "content-length": "5000", "content-encoding": "gzip" };
  await using server = await serve((socket) => socket.end(http("200 OK", headers)));
  const { body } = await egress.fetch(at(server), { ...usual, method: "HEAD" });
  expect(body.length).toBe(0);
  await using empty = await serve((socket) => socket.end(http("200 OK", { "content-encoding": "gzip" })));
  expect((await egress.fetch(at(empty), usual)).body.length).toBe(0);
});

test("header bytes", async () => {
  for (const [bytes, kind] of [
    [60_000, undefined],
    [66_000, "too-large"],
    [5_000_000, "too-large"],
  ] as const) {
    const reply = http("200 OK", { "x-long": "a".repeat(bytes) });
    await using server = await serve((socket) => socket.end(reply));
    const error = await failure(egress.fetch(at(server), usual));
    expect([bytes, (error as EgressError | undefined)?.kind]).toEqual([bytes, kind]);
  }
  await using endless = await serve((socket) => {
    socket.write("HTTP/1.1 200 OK\r\n");
    pour(socket, Buffer.from("x-again: and again\r\n".repeat(100)));
  });
  await kindOf(egress.fetch(at(endless), usual));
  await until(() => endless.open.size === 0);
});

test("a reply that was cut short is none", async () => {
  for (const head of ["content-length: 30\r\n\r\nabc", "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"]) {
    await using server = await serve((socket) => socket.end(`HTTP/1.1 200 OK\r\n${head}`));
    expect(await kindOf(egress.fetch(at(server), usual))).toBe("connection");
  }
});

test("the time is for everything: silence, dripping headers, dripping bodies", async () => {
  const plain = "HTTP/1.1 200 OK\r\n\r\n";
  const packed = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n";
  const stored = gzipSync(Buffer.alloc(0), { level: 0 });
  for (const reply of [
    () => undefined,
    (socket: Socket) => drip(socket, "x", 20),
    (socket: Socket) => drip(socket, "HTTP/1.1 103 Early Hints\r\n\r\n", 20),
    (socket: Socket) => socket.write(plain) && drip(socket, "x", 20),
    // A stream of gzip members that hold nothing.
    (socket: Socket) => socket.write(packed) && drip(socket, stored, 20),
  ]) {
    await using server = await serve((socket) => reply(socket));
    const begun = performance.now();
    expect(await kindOf(egress.fetch(at(server), { ...usual, timeout: 200 }))).toBe("timeout");
    expect(performance.now() - begun).toBeLessThan(2000);
    await until(() => server.open.size === 0);
  }
});

test("the caller's signal ends it with the caller's reason", async () => {
  await using server = await serve((socket) => socket.write("HTTP/1.1 200 OK\r\n\r\nx"));
  const caller = new AbortController();
  const reason = new Error("changed my mind");
  const work = failure(egress.fetch(at(server), { ...usual, signal: caller.signal }));
  await until(() => server.requests.length === 1);
  Bun.gc(true);
  caller.abort(reason);
  expect(await work).toBe(reason);
  expect(await failure(egress.fetch(at(server), { ...usual, signal: caller.signal }))).toBe(reason);
  await until(() => server.open.size === 0);
});

test("a stream is read as slowly as its reader", async () => {
  let count = { sent: 0 };
  await using server = await serve((socket) => {
    socket.write("HTTP/1.1 200 OK\r\ncontent-type: a/b\r\n\r\n");
    count = pour(socket, Buffer.alloc(65_536, 65));
  });
  const { status, headers, body, url } = await egress.open(at(server), {
    ...streamed,
    maxBytes: 1e12,
    idleTimeout: 100,
  });
  expect([status, headers.get("content-type"), url]).toEqual([200, "a/b", at(server)]);
  const reader = body.getReader();
  expect((await reader.read()).value?.[0]).toBe(65);
  // Longer than the other side may be silent: the pause is ours.
  await Bun.sleep(300);
  expect(count.sent).toBeLessThan(64_000_000);
  const more = count.sent + 1_000_000;
  for (let read = 0; read < more;) read += (await reader.read()).value?.byteLength ?? Number.NaN;
  await reader.cancel();
  await until(() => server.open.size === 0);
});

test("a stream ends with the body, inflated", async () => {
  const packed = gzipSync(Buffer.alloc(300_000, 65));
  await using server = await serve((socket) => socket.end(http("200 OK", { "content-encoding": "gzip" }, packed)));
  const { body, headers } = await egress.open(at(server), { ...streamed, maxBytes: 300_000 });
  expect(headers.has("content-length")).toBe(false);
  expect((await new Response(body).bytes()).length).toBe(300_000);
  await until(() => server.open.size === 0);
});

test("a stream fails: silent, too large, cut short, aborted", async () => {
  const caller = new AbortController();
  const head = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n";
  const read = async (reply: (socket: Socket) => void, options: Partial<OpenOptions>): Promise<unknown> => {
    await using server = await serve(reply);
    const { body } = await egress.open(at(server), { ...streamed, ...options });
    const error = await failure(new Response(body).bytes());
    await until(() => server.open.size === 0);
    return error instanceof EgressError ? error.kind : error;
  };
  expect(await read((socket) => socket.write(`${head}abc`), { idleTimeout: 100 })).toBe("timeout");
  expect(await read((socket) => socket.write(`${head}abc`), { maxBytes: 99 })).toBe("too-large");
  expect(await read((socket) => socket.end(`${head}abc`), {})).toBe("connection");
  setTimeout(() => caller.abort(new Error("enough")), 100);
  expect(await read((socket) => socket.write(`${head}abc`), { signal: caller.signal })).toEqual(new Error("enough"));
});

test("a stream that drips is no silent one", async () => {
  await using server = await serve((socket) => {
    socket.write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n");
    drip(socket, "x", 30);
  });
  const { body } = await egress.open(at(server), { ...streamed, timeout: 200, idleTimeout: 200 });
  expect((await new Response(body).bytes()).length).toBe(10);
  await until(() => server.open.size === 0);
});

test("a stream that nobody wants is closed", async () => {
  await using server = await serve((socket) => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nx"));
  for (const read of [false, true]) {
    const { body } = await egress.open(at(server), streamed);
    const reader = body.getReader();
    if (read) await reader.read();
    expect(server.open.size).toBe(1);
    await reader.cancel();
    await until(() => server.open.size === 0);
  }
});

test("until the headers are there the stream's time counts", async () => {
  await using server = await serve(() => undefined);
  expect(await kindOf(egress.open(at(server), { ...streamed, timeout: 100 }))).toBe("timeout");
  await until(() => server.open.size === 0);
});
