import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { type ClientHttp2Session, connect, type OutgoingHttpHeaders } from "node:http2";
import { type Berth, startBerth } from "../harness/berth.ts";
import { basic } from "../harness/caller.ts";
import { contentOf } from "../harness/content.ts";
import { rawHead, sendWholeThenRead } from "../harness/raw-http.ts";

/**
 * A refusal must reach clients that look for it only once their whole body is sent: `docker push` of a layer without
 * a login would else report a broken pipe instead of the missing login.
 */
const repository = "my-project/early";
const size = 30 * 2 ** 20;
const piece = Buffer.alloc(2 ** 18, "x");
const pieces = size / piece.length;
const digest = contentOf("").digest;

interface Outcome {
  status: number;
  headers: Headers;
  code: string | undefined;
}

const codeOf = (body: string): string | undefined =>
  (JSON.parse(body) as { errors: { code: string }[] }).errors[0]?.code;

/** What is refused before its body is read, and what while it is. */
const refusals: [string, string, string, boolean, number, string][] = [
  ["a manifest without credentials", "PUT", `/v2/${repository}/manifests/v1`, false, 401, "UNAUTHORIZED"],
  [
    "a blob without credentials",
    "POST",
    `/v2/${repository}/blobs/uploads/?digest=${digest}`,
    false,
    401,
    "UNAUTHORIZED",
  ],
  ["a chunk without credentials", "PATCH", `/v2/${repository}/blobs/uploads/x.0`, false, 401, "UNAUTHORIZED"],
  ["a chunk of an unknown upload", "PATCH", `/v2/${repository}/blobs/uploads/x.0`, true, 404, "BLOB_UPLOAD_UNKNOWN"],
  ["an address that is none", "PUT", "/v2/nothing", true, 404, "NOT_FOUND"],
  ["a manifest that is too large", "PUT", `/v2/${repository}/manifests/v1`, true, 413, "MANIFEST_TOO_LARGE"],
  [
    "a blob that is too large",
    "POST",
    `/v2/${repository}/blobs/uploads/?digest=${digest}`,
    true,
    413,
    "BLOB_TOO_LARGE",
  ],
  ["a token's form that is too large", "POST", "/v2/token", true, 400, "REQUEST_INVALID"],
];

const args = ["--limits-upload-size", "8MiB"];

describe("HTTP/1.1", () => {
  let berth: Berth;
  beforeAll(async () => {
    berth = await startBerth({ args });
  });
  afterAll(() => berth.stop());

  describe.each(["with a Content-Length", "chunked"])("%s", (framing) => {
    test.each(refusals)("%s: %s", async (_, method, path, authorized, status, code) => {
      const chunked = framing === "chunked";
      const head = rawHead(`${method} ${path}`, {
        ...(authorized ? { authorization: basic(berth.key) } : {}),
        ...(chunked ? { "transfer-encoding": "chunked" } : { "content-length": String(size) }),
      });
      const part = chunked
        ? Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from("\r\n")])
        : piece;
      const body = Array.from({ length: pieces }, () => part);
      const reply = await sendWholeThenRead(berth.port, [head, ...body, ...(chunked ? ["0\r\n\r\n"] : [])]);
      expect([reply.status, codeOf(reply.body.toString())]).toEqual([status, code]);
      if (status === 401) expect(reply.headers.get("www-authenticate")).toStartWith("Bearer realm=");
    });
  });
});

describe("HTTP/2", () => {
  let berth: Berth;
  let session: ClientHttp2Session;
  beforeAll(async () => {
    berth = await startBerth({ args, tls: true });
    session = connect(berth.url, { ca: readFileSync(berth.ca, "utf8") });
  });
  afterAll(async () => {
    session.close();
    await berth.stop();
  });

  /** Sends the whole body, then looks at the reply. */
  async function sendThenRead(headers: OutgoingHttpHeaders): Promise<Outcome> {
    const stream = session.request(headers, { endStream: false });
    let body = "";
    stream.on("data", (chunk) => {
      body += String(chunk);
    });
    const closed = new Promise((resolve) => stream.on("close", resolve));
    const replied = new Promise<Record<string, unknown>>((resolve, reject) => {
      stream.on("response", resolve);
      stream.on("error", reject);
    });
    for (let i = 0; i < pieces; i++) {
      // A server that has answered may end the stream, and says so with NO_ERROR. [RFC 9113 section 8.1]
      const ended = await new Promise<boolean>((resolve) => {
        stream.write(piece, (error) => resolve(error !== null && error !== undefined));
      });
      if (ended) break;
    }
    stream.end();
    const { ":status": status, ...rest } = await replied;
    await closed;
    return {
      status: Number(status),
      headers: new Headers(Object.entries(rest) as [string, string][]),
      code: codeOf(body),
    };
  }

  test.each(refusals)("%s: %s", async (_, method, path, authorized, status, code) => {
    const authorization = authorized ? { authorization: basic(berth.key) } : {};
    const outcome = await sendThenRead({ ":method": method, ":path": path, ...authorization });
    expect([outcome.status, outcome.code]).toEqual([status, code]);
    if (status === 401) expect(outcome.headers.get("www-authenticate")).toStartWith("Bearer realm=");
  });
});
