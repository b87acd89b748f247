import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { type Berth, startBerth } from "../harness/berth.ts";
import { type Caller, callerOf, type Expected, expectReply, type Reply } from "../harness/caller.ts";
import { type Content, contentOf, noise } from "../harness/content.ts";

const repository = "my-project/uploads";
const begin = `/v2/${repository}/blobs/uploads/`;
const location = new RegExp(`^/v2/${repository}/blobs/uploads/[^/]+$`);
const chunkSizes = [200_000, 70_000, 30_001];

let berth: Berth;
let caller: Caller;
beforeAll(async () => {
  berth = await startBerth();
  caller = callerOf(berth);
});
afterAll(() => berth.stop());

/** The Location of a reply, to be used once. */
function next({ headers }: Reply): string {
  return headers.get("location") ?? "no Location";
}

async function start(query = ""): Promise<string> {
  const reply = await caller.send("POST", begin + query);
  const headers = { location, range: "0-0", "docker-upload-uuid": /./, "content-length": "0" };
  expectReply(reply, { status: 202, headers, text: "" });
  return next(reply);
}

/** A body that is sent without a Content-Length. */
function streamed(bytes: Uint8Array): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      controller.enqueue(bytes);
      controller.close();
    },
  });
}

function put(place: string, digest: string, body?: Uint8Array<ArrayBuffer>): Promise<Reply> {
  return caller.send("PUT", `${place}?digest=${digest}`, body === undefined ? {} : { body });
}

function patch(place: string, body: Uint8Array<ArrayBuffer>, contentRange?: string): Promise<Reply> {
  return caller.send("PATCH", place, { body, headers: contentRange ? { "content-range": contentRange } : {} });
}

/** The reply to a finished upload, and the blob that it made. */
async function expectBlob(reply: Reply, { digest, bytes }: Content): Promise<void> {
  const path = `/v2/${repository}/blobs/${digest}`;
  const headers = {
    location: path,
    "docker-content-digest": digest,
    "docker-distribution-api-version": "registry/2.0",
  };
  expectReply(reply, { status: 201, headers, text: "" });
  const read = await caller.send("GET", path);
  expectReply(read, { status: 200 });
  expect(Buffer.from(read.bytes).equals(bytes)).toBe(true);
}

describe.each(["sha256", "sha512"] as const)("%s", (algorithm) => {
  const hint = algorithm === "sha256" ? "" : "?digest-algorithm=sha512";
  const make = (seed: string, size = 300_001): Content => contentOf(noise(`${algorithm} ${seed}`, size), algorithm);

  test("in one POST", async () => {
    const content = make("one POST");
    const path = `${begin}?digest=${content.digest}`;
    await expectBlob(await caller.send("POST", path, { body: content.bytes }), content);
  });

  test("in one POST without a Content-Length", async () => {
    const content = make("streamed POST");
    const path = `${begin}?digest=${content.digest}`;
    await expectBlob(await caller.send("POST", path, { body: streamed(content.bytes) }), content);
  });

  test("an empty blob", async () => {
    const content = contentOf("", algorithm);
    await expectBlob(await put(await start(hint), content.digest), content);
    await expectBlob(await caller.send("POST", `${begin}?digest=${content.digest}`), content);
  });

  test("POST, then PUT of everything", async () => {
    const content = make("POST and PUT");
    await expectBlob(await put(await start(hint), content.digest, content.bytes), content);
  });

  test("PUT with the digest's colon escaped", async () => {
    const content = make("escaped");
    const digest = content.digest.replace(":", "%3A");
    await expectBlob(await put(await start(hint), digest, content.bytes), content);
  });

  test("one streamed PATCH without Content-Range, then an empty PUT", async () => {
    const content = make("streamed PATCH");
    const reply = await caller.send("PATCH", await start(hint), { body: streamed(content.bytes) });
    expectReply(reply, { status: 202, headers: { location, range: `0-${content.size - 1}` }, text: "" });
    await expectBlob(await put(next(reply), content.digest), content);
  });

  const forms: [string, (first: number, last: number) => string | undefined][] = [
    ["as the specification writes it", (first, last) => `${first}-${last}`],
    ["as RFC 9110 writes it", (first, last) => `bytes ${first}-${last}/*`],
    ["left away", () => undefined],
  ];
  test.each(forms)("PATCH by PATCH, Content-Range %s, the last bytes with the PUT or before", async (form, range) => {
    for (const withPut of [false, true]) {
      const content = make(`${form} ${withPut}`);
      let place = await start(hint);
      let done = 0;
      for (const size of withPut ? chunkSizes.slice(0, -1) : chunkSizes) {
        const reply = await patch(place, content.bytes.slice(done, done + size), range(done, done + size - 1));
        done += size;
        expectReply(reply, { status: 202, headers: { location, range: `0-${done - 1}` }, text: "" });
        place = next(reply);
      }
      await expectBlob(await put(place, content.digest, withPut ? content.bytes.slice(done) : undefined), content);
    }
  });

  test("the digest at the end may be of the other algorithm than was announced", async () => {
    const content = make("other algorithm");
    const other = algorithm === "sha256" ? "?digest-algorithm=sha512" : "";
    const reply = await patch(await start(other), content.bytes);
    await expectBlob(await put(next(reply), content.digest), content);
  });

  test("bytes with another digest make no blob, and end the upload", async () => {
    const [content, other] = [make("right"), make("wrong")];
    const sent = await patch(await start(hint), other.bytes);
    for (const reply of [
      await caller.send("POST", `${begin}?digest=${content.digest}`, { body: other.bytes }),
      await put(await start(hint), content.digest, other.bytes),
      await put(next(sent), content.digest),
    ]) {
      expectReply(reply, {
        status: 400,
        code: "DIGEST_INVALID",
        message: new RegExp(`${other.digest}, not ${content.digest}`),
      });
    }
    for (const { digest } of [content, other]) {
      expectReply(await caller.send("HEAD", `/v2/${repository}/blobs/${digest}`), { status: 404 });
    }
    expectReply(await caller.send("GET", next(sent)), { status: 404, code: "BLOB_UPLOAD_UNKNOWN" });
  });
});

describe("a chunk that is not the next one", () => {
  const content = contentOf(noise("chunks", 1000));
  const out: Expected = { status: 416, code: "RANGE_INVALID", headers: { range: "0-499" } };
  const malformed: Expected = { status: 400, code: "SIZE_INVALID" };
  const rows: [string, string, Expected][] = [
    ["begins before the end", "400-899", out],
    ["is the one before, again", "0-499", out],
    ["leaves a hole", "501-1000", out],
    ["says it is longer than it is", "500-1199", malformed],
    ["says it is shorter than it is", "500-600", malformed],
    ["is reversed", "999-500", malformed],
    ["is not a range", "five hundred", malformed],
    ["has no end", "500-", malformed],
  ];
  test.each(rows)("it %s (%s): refused, and the upload goes on", async (_, range, expected) => {
    const first = await patch(await start(), content.bytes.slice(0, 500), "0-499");
    const rest = content.bytes.slice(500);
    expectReply(await patch(next(first), rest, range), expected);
    expectReply(
      await caller.send("PUT", `${next(first)}?digest=${content.digest}`, {
        body: rest,
        headers: { "content-range": range },
      }),
      expected,
    );
    const status = await caller.send("GET", next(first));
    expectReply(status, { status: 204, headers: { location, range: "0-499" } });
    await expectBlob(await put(next(status), content.digest, rest), content);
  });
});

describe("a Location is good once", () => {
  const content = contentOf(noise("once", 900));
  const unknown: Expected = { status: 404, code: "BLOB_UPLOAD_UNKNOWN" };

  test("after a PATCH the one before is unknown to PATCH, PUT and DELETE, but tells the state", async () => {
    const old = await start();
    const first = await patch(old, content.bytes.slice(0, 600));
    expectReply(await patch(old, content.bytes.slice(600)), unknown);
    expectReply(await put(old, content.digest, content.bytes.slice(600)), unknown);
    expectReply(await caller.send("DELETE", old), unknown);
    const status = await caller.send("GET", old);
    expectReply(status, { status: 204, headers: { location, range: "0-599", "docker-upload-uuid": /./ }, text: "" });
    expect(next(status)).not.toBe(next(first));
    // Asking takes the upload over: whoever held the last Location has lost it.
    expectReply(await patch(next(first), content.bytes.slice(600)), unknown);
    await expectBlob(await put(next(status), content.digest, content.bytes.slice(600)), content);
  });

  test("of two that write at once one wins, and its bytes are the upload's", async () => {
    const place = await start();
    const replies = await Promise.all(
      ["a", "b"].map((letter) => patch(place, contentOf(letter.repeat(100_000)).bytes)),
    );
    expect(replies.map(({ status }) => status).sort()).toEqual([202, 404]);
    const winner = replies.findIndex(({ status }) => status === 202);
    const blob = contentOf((winner === 0 ? "a" : "b").repeat(100_000));
    await expectBlob(await put(next(replies[winner] as Reply), blob.digest), blob);
  });

  test("a Location that was never given out is unknown", async () => {
    const place = await start();
    const ahead = place.replace(/\d+$/, (epoch) => String(Number(epoch) + 1));
    expect(ahead).not.toBe(place);
    for (const method of ["GET", "PATCH", "DELETE"]) expectReply(await caller.send(method, ahead), unknown);
    for (const id of ["x", "00000000-0000-0000-0000-000000000000.0", "%00", "%2e%2e%2f", `${"0".repeat(300)}.0`]) {
      expectReply(await caller.send("PATCH", `${begin}${id}`, { body: "x" }), unknown);
    }
  });

  test("a finished upload is gone", async () => {
    const place = await start();
    await expectBlob(await put(place, content.digest, content.bytes), content);
    for (const method of ["GET", "PATCH", "DELETE"]) expectReply(await caller.send(method, place), unknown);
    expectReply(await put(place, content.digest, content.bytes), unknown);
  });

  test("a cancelled upload is gone, and nothing of it is a blob", async () => {
    const other = contentOf(noise("cancelled", 900));
    const place = next(await patch(await start(), other.bytes));
    expectReply(await caller.send("DELETE", place), { status: 204, text: "" });
    for (const method of ["GET", "PATCH", "DELETE"]) expectReply(await caller.send(method, place), unknown);
    expectReply(await put(place, other.digest), unknown);
    expectReply(await caller.send("HEAD", `/v2/${repository}/blobs/${other.digest}`), { status: 404 });
  });
});

describe("what is no upload", () => {
  const { digest } = contentOf("x");
  const rows: [string, string, string][] = [
    ["a digest of another length", `?digest=${digest}0`, "DIGEST_INVALID"],
    ["a digest in capitals", `?digest=${digest.replace("sha256:", "SHA256:")}`, "DIGEST_INVALID"],
    ["a digest of an unknown algorithm", `?digest=md5:${"0".repeat(32)}`, "DIGEST_INVALID"],
    ["a digest that is registered but not kept here", `?digest=blake3:${"0".repeat(64)}`, "DIGEST_INVALID"],
    ["an empty digest", "?digest=", "DIGEST_INVALID"],
  ];
  test.each(rows)("%s", async (_, query, code) => {
    expectReply(await caller.send("POST", begin + query, { body: "x" }), { status: 400, code });
    expectReply(await caller.send("PUT", (await start()) + query, { body: "x" }), { status: 400, code });
  });

  test("an announced algorithm that is unknown", async () => {
    const reply = await caller.send("POST", `${begin}?digest-algorithm=md5`);
    expectReply(reply, { status: 400, code: "DIGEST_INVALID" });
  });

  test("a PUT without a digest leaves the upload as it is", async () => {
    const place = await start();
    expectReply(await caller.send("PUT", place, { body: "x" }), { status: 400, code: "DIGEST_INVALID" });
    await expectBlob(await put(place, digest, contentOf("x").bytes), contentOf("x"));
  });
});

test.each(["terminate", "kill"] as const)("an upload goes on after the server was restarted by %s", async (how) => {
  const content = contentOf(noise(how, 300_001));
  let server = await startBerth();
  const { data } = server;
  try {
    const sender = callerOf(server);
    const begun = await sender.send("POST", begin);
    const first = await sender.send("PATCH", next(begun), { body: content.bytes.slice(0, 200_000) });
    expectReply(first, { status: 202 });
    await server[how]();
    server = await startBerth({ data });
    const again = callerOf(server);
    const status = await again.send("GET", next(first));
    expectReply(status, { status: 204, headers: { location, range: "0-199999" } });
    const headers = { "content-range": "200000-300000" };
    const second = await again.send("PATCH", next(status), { body: content.bytes.slice(200_000), headers });
    expectReply(second, { status: 202, headers: { range: "0-300000" } });
    expectReply(await again.send("PUT", `${next(second)}?digest=${content.digest}`), { status: 201 });
    const read = await again.send("GET", `/v2/${repository}/blobs/${content.digest}`);
    expect(contentOf(read.bytes).digest).toBe(content.digest);
  } finally {
    await server.stop();
    rmSync(data, { recursive: true, force: true });
  }
});
