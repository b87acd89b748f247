import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Berth, startBerth } from "../harness/berth.ts";
import { basic, type Caller, callerOf, expectReply } from "../harness/caller.ts";
import { contentOf, noise } from "../harness/content.ts";
import { rawExchange, rawHead, rawRequest } from "../harness/raw-http.ts";

const repository = "my-project/framing";
const uploads = `/v2/${repository}/blobs/uploads/`;

let berth: Berth;
let caller: Caller;
let authorization: string;
beforeAll(async () => {
  berth = await startBerth();
  caller = callerOf(berth);
  authorization = basic(berth.key);
});
afterAll(() => berth.stop());

async function start(): Promise<string> {
  const reply = await caller.send("POST", uploads);
  expectReply(reply, { status: 202 });
  return reply.headers.get("location") as string;
}

const hexSize = (body: string): string => body.length.toString(16);

describe("a request that two parsers might read differently is refused, and the next one in it not answered", () => {
  const second = rawHead("GET /v2/smuggled");
  const post = (headers: string, body: string): string =>
    `POST ${uploads} HTTP/1.1\r\nhost: localhost\r\nauthorization: ${authorization}\r\n${headers}\r\n${body}`;
  const rows: [string, (body: string) => string][] = [
    ["Content-Length and chunked", (body) => post("content-length: 5\r\ntransfer-encoding: chunked\r\n", body)],
    ["chunked and Content-Length", (body) => post("transfer-encoding: chunked\r\ncontent-length: 5\r\n", body)],
    ["two lengths", (body) => post("content-length: 5\r\ncontent-length: 6\r\n", body)],
    ["two lengths in one header", (body) => post("content-length: 5, 6\r\n", body)],
    ["a length with a sign", (body) => post("content-length: +5\r\n", body)],
    ["a negative length", (body) => post("content-length: -5\r\n", body)],
    ["a length in hexadecimal", (body) => post("content-length: 0x5\r\n", body)],
    ["a length beyond all numbers", (body) => post(`content-length: ${"9".repeat(40)}\r\n`, body)],
    ["a blank before the colon", (body) => post("content-length : 5\r\n", body)],
    ["a header that goes on in the next line", (body) => post("x-folded: a\r\n content-length: 5\r\n", body)],
    ["chunked, but not last", (body) => post("transfer-encoding: chunked, identity\r\n", body)],
    ["an encoding that is not known", (body) => post("transfer-encoding: xchunked\r\n", body)],
    ["a chunk size that is none", () => post("transfer-encoding: chunked\r\n", `zz\r\nhello\r\n0\r\n\r\n`)],
    ["a chunk that is longer than it says", () => post("transfer-encoding: chunked\r\n", "3\r\nhello\r\n0\r\n\r\n")],
    ["a NUL in a header", (body) => post("x-nul: a\0b\r\ncontent-length: 5\r\n", body)],
    ["a header without a name", (body) => post(": x\r\ncontent-length: 5\r\n", body)],
  ];
  test.each(rows)("%s", async (_, request) => {
    const replies = await rawExchange(berth.port, request("hello") + second, { replies: 2, halfClose: true });
    expect(replies.map(({ status }) => status)).toEqual([400]);
  });

  test("no Host at all", async () => {
    expect((await rawRequest(berth.port, "GET /v2/ HTTP/1.1\r\n\r\n")).status).toBe(400);
  });

  test("no HTTP at all", async () => {
    const replies = await rawExchange(berth.port, "\x16\x03\x01 hello\r\n\r\n", { halfClose: true });
    expect(replies.filter(({ status }) => status < 400)).toEqual([]);
    expectReply(await caller.send("GET", "/v2/"), { status: 200 });
  });
});

describe("a body that is not as long as it was announced", () => {
  const content = contentOf(noise("framing", 1000));
  const text = Buffer.from(content.bytes).toString("latin1");
  const head = (line: string, headers: Record<string, string>): string => rawHead(line, { authorization, ...headers });

  const short: [string, (line: string) => string][] = [
    ["shorter than Content-Length", (line) => head(line, { "content-length": "1001" }) + text],
    [
      "chunked, without its end",
      (line) => `${head(line, { "transfer-encoding": "chunked" })}${hexSize(text)}\r\n${text}\r\n`,
    ],
    [
      "cut within a chunk",
      (line) => `${head(line, { "transfer-encoding": "chunked" })}${hexSize(text)}\r\n${text.slice(9)}`,
    ],
  ];
  describe.each(short)("%s: nothing of it counts", (_, request) => {
    test("POST with a digest makes no blob", async () => {
      const replies = await rawExchange(berth.port, request(`POST ${uploads}?digest=${content.digest}`), {
        halfClose: true,
      });
      expect(replies.filter(({ status }) => status < 400)).toEqual([]);
      expectReply(await caller.send("HEAD", `/v2/${repository}/blobs/${content.digest}`), { status: 404 });
    });

    test("PATCH leaves the upload where it was, and it goes on", async () => {
      const place = await start();
      const first = await caller.send("PATCH", place, { body: content.bytes.slice(0, 300) });
      const next = first.headers.get("location") as string;
      const replies = await rawExchange(berth.port, request(`PATCH ${next}`), { halfClose: true });
      expect(replies.filter(({ status }) => status < 400)).toEqual([]);
      const status = await caller.send("GET", next);
      expectReply(status, { status: 204, headers: { range: "0-299" } });
      const end = `${status.headers.get("location")}?digest=${content.digest}`;
      expectReply(await caller.send("PUT", end, { body: content.bytes.slice(300) }), { status: 201 });
      expectReply(await caller.send("DELETE", `/v2/${repository}/blobs/${content.digest}`), { status: 202 });
    });

    test("PUT makes no blob, and the upload can still be finished", async () => {
      const place = await start();
      const replies = await rawExchange(berth.port, request(`PUT ${place}?digest=${content.digest}`), {
        halfClose: true,
      });
      expect(replies.filter(({ status }) => status < 400)).toEqual([]);
      expectReply(await caller.send("HEAD", `/v2/${repository}/blobs/${content.digest}`), { status: 404 });
      expectReply(await caller.send("PUT", `${place}?digest=${content.digest}`, { body: content.bytes }), {
        status: 201,
      });
      expectReply(await caller.send("DELETE", `/v2/${repository}/blobs/${content.digest}`), { status: 202 });
    });

    test("PUT of a manifest stores none", async () => {
      const replies = await rawExchange(berth.port, request(`PUT /v2/${repository}/manifests/cut`), {
        halfClose: true,
      });
      expect(replies.filter(({ status }) => status < 400)).toEqual([]);
      expectReply(await caller.send("HEAD", `/v2/${repository}/manifests/cut`), { status: 404 });
    });
  });

  test("longer than Content-Length: what follows is not part of it", async () => {
    const line = `POST ${uploads}?digest=${content.digest}`;
    const replies = await rawExchange(berth.port, head(line, { "content-length": "999" }) + text, {
      replies: 2,
      halfClose: true,
    });
    expect(replies.every(({ status }) => status === 400)).toBe(true);
    expectReply(await caller.send("HEAD", `/v2/${repository}/blobs/${content.digest}`), { status: 404 });
  });
});

/**
 * With metadata in a file every answer comes at once. Where one takes time, Bun closes a connection on which the next
 * request does not wait for it, as a server may; then none of them was answered. [RFC 9112, section 9.3.2]
 */
function expectInOrder(replies: readonly { status: number }[], statuses: number[]): void {
  const isClosed = berth.database !== undefined && replies.length === 0;
  if (!isClosed) expect(replies.map(({ status }) => status)).toEqual(statuses);
}

describe("one connection, several requests", () => {
  test("answers come in the order of the requests", async () => {
    const paths = ["/v2/", "/v2", `/v2/${repository}/manifests/.x`];
    const request = paths.map((path) => rawHead(`GET ${path}`, { authorization })).join("");
    const replies = await rawExchange(berth.port, request, { replies: 3 });
    expectInOrder(replies, [200, 404, 400]);
  });

  test("the body of a refused request is not taken for the next one", async () => {
    const body = rawHead("GET /v2/smuggled", { authorization });
    for (const framing of [{ "content-length": String(body.length) }, { "transfer-encoding": "chunked" }]) {
      const chunked = "transfer-encoding" in framing;
      const framed = chunked ? `${hexSize(body)}\r\n${body}\r\n0\r\n\r\n` : body;
      const headers = Object.fromEntries(Object.entries(framing));
      const refused = rawHead(`PUT /v2/${repository}/manifests/v1`, headers) + framed;
      const replies = await rawExchange(berth.port, refused + rawHead("GET /v2/", { authorization }), { replies: 2 });
      expectInOrder(replies, [401, 200]);
    }
  });

  test("Expect: 100-continue", async () => {
    const { digest, bytes } = contentOf("expected");
    const headers = { authorization, expect: "100-continue", "content-length": String(bytes.length) };
    const reply = await rawRequest(berth.port, rawHead(`POST ${uploads}?digest=${digest}`, headers) + "expected");
    expect(reply.status).toBe(201);
  });
});
