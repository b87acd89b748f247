import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Berth, startBerth } from "../harness/berth.ts";
import { type Caller, callerOf, type Expected, expectReply } from "../harness/caller.ts";
import { contentOf, imageOf, noise, pushBlob, pushDocument, pushImage } from "../harness/content.ts";

const repository = "my-project/blobs";
/** Small blobs come from memory; large ones from a file, or a stream. */
const sizes = { small: 1000, large: 300_007 };
const contents = {
  small: contentOf(noise("small", sizes.small)),
  large: contentOf(noise("large", sizes.large)),
  sha512: contentOf(noise("sha512", sizes.large), "sha512"),
  empty: contentOf(""),
};
const pathOf = (digest: string): string => `/v2/${repository}/blobs/${digest}`;

/** What a Range header gets: first and last byte, all of it (200), or nothing (416). */
const ranges: [string, (size: number) => [number, number] | "whole" | "none"][] = [
  ["bytes=0-0", () => [0, 0]],
  ["bytes=0-9", () => [0, 9]],
  ["bytes=7-311", () => [7, 311]],
  ["bytes=500-", (size) => [500, size - 1]],
  ["bytes=-1", (size) => [size - 1, size - 1]],
  ["bytes=-250", (size) => [size - 250, size - 1]],
  ["bytes=990-999999999", (size) => [990, size - 1]],
  ["bytes=-999999999", (size) => [0, size - 1]],
  ["bytes=0-", (size) => [0, size - 1]],
  ["bytes=9999999-", () => "none"],
  ["bytes=9999999-99999999", () => "none"],
  ["bytes=-0", () => "none"],
  ["bytes=5-3", () => "none"],
  ["bytes=0-1,5-6", () => "whole"],
  ["bytes=0-5,3-9", () => "whole"],
  ["bytes=a-b", () => "whole"],
  ["bytes=-", () => "whole"],
  ["bytes=0-99999999999999999999", () => "whole"],
  ["pages=0-1", () => "whole"],
];

/** Of an empty blob nothing can be asked for. */
const emptyRanges: typeof ranges = [
  ["bytes=0-", () => "none"],
  ["bytes=0-0", () => "none"],
  ["bytes=-1", () => "none"],
];

describe.each(["file", "stream"] as const)("a store that transfers by %s", (transfer) => {
  let berth: Berth;
  let caller: Caller;
  beforeAll(async () => {
    berth = await startBerth({ args: ["--stores", `{default: {driver: filesystem, transfer: ${transfer}}}`] });
    caller = callerOf(berth);
    await Promise.all(Object.values(contents).map((content) => pushBlob(caller, repository, content)));
  });
  afterAll(() => berth.stop());

  describe.each(["small", "large", "sha512", "empty"] as const)("a blob: %s", (name) => {
    const { bytes, digest, size } = contents[name];
    const path = pathOf(digest);
    /** Bun sends a stream without its length. */
    const length = transfer === "stream" && size > 65_536 ? null : String(size);
    const headers = {
      "content-type": "application/octet-stream",
      "docker-content-digest": digest,
      "docker-distribution-api-version": "registry/2.0",
      "content-disposition": "attachment",
      "accept-ranges": "bytes",
      etag: `"${digest}"`,
    };

    test("GET", async () => {
      const reply = await caller.send("GET", path);
      expectReply(reply, { status: 200, headers: { ...headers, "content-length": length, "content-range": null } });
      expect(contentOf(reply.bytes).digest).toBe(contentOf(bytes).digest);
    });

    test("GET with the digest's colon escaped", async () => {
      const reply = await caller.send("GET", pathOf(digest.replace(":", "%3A")));
      expectReply(reply, { status: 200, headers });
      expect(reply.bytes.length).toBe(size);
    });

    test("HEAD tells the length whatever the transfer", async () => {
      const expected = { status: 200, headers: { ...headers, "content-length": String(size) }, text: "" };
      expectReply(await caller.send("HEAD", path), expected);
      // A range is for GET alone. [RFC 9110 section 14.2]
      expectReply(await caller.send("HEAD", path, { headers: { range: "bytes=0-0" } }), expected);
    });

    const tags: [string, number][] = [
      [`"${digest}"`, 304],
      [`W/"${digest}"`, 304],
      [`"sha256:0", "${digest}"`, 304],
      ["*", 304],
      [digest, 200],
      [`"sha256:0"`, 200],
      ["", 200],
    ];
    test.each(tags)("If-None-Match: %s", async (tag, status) => {
      for (const method of ["GET", "HEAD"]) {
        const reply = await caller.send(method, path, { headers: { "if-none-match": tag } });
        expectReply(reply, { status, headers: { etag: `"${digest}"` }, ...(status === 304 ? { text: "" } : {}) });
      }
    });

    test.each(size === 0 ? emptyRanges : ranges)("Range: %s", async (range, answer) => {
      const expected = answer(size);
      const reply = await caller.send("GET", path, { headers: { range } });
      if (expected === "none") {
        const unsatisfied = { "content-range": `bytes */${size}` };
        expectReply(reply, { status: 416, code: "RANGE_INVALID", headers: unsatisfied });
        return;
      }
      const [first, last] = expected === "whole" ? [0, size - 1] : expected;
      const status = expected === "whole" ? 200 : 206;
      const part = expected === "whole" ? null : `bytes ${first}-${last}/${size}`;
      const partLength = length === null ? null : String(last - first + 1);
      const partHeaders = { ...headers, "content-range": part, "content-length": partLength };
      expectReply(reply, { status, headers: partHeaders });
      expect(Buffer.from(reply.bytes).equals(bytes.subarray(first, last + 1))).toBe(true);
    });

    // [RFC 9110 section 13.1.5]
    test("If-Range: a range counts only of the content that the client has begun with", async () => {
      const ranged = (tag: string) => caller.send("GET", path, { headers: { range: "bytes=0-", "if-range": tag } });
      const other = await ranged('"sha256:0"');
      expectReply(other, { status: 200, headers: { "content-range": null } });
      expect(other.bytes.length).toBe(size);
      expectReply(await ranged(`"${digest}"`), { status: size === 0 ? 416 : 206 });
    });
  });
});

describe("blobs that are not there, and deletes", () => {
  let berth: Berth;
  let caller: Caller;
  beforeAll(async () => {
    berth = await startBerth();
    caller = callerOf(berth);
  });
  afterAll(() => berth.stop());

  const absent = `sha256:${"0".repeat(64)}`;
  const rows: [string, string, string, Expected][] = [
    ["where nothing was ever pushed", "GET", pathOf(absent), { status: 404, code: "BLOB_UNKNOWN" }],
    ["by HEAD", "HEAD", pathOf(absent), { status: 404, text: "" }],
    ["a digest that is none", "GET", pathOf("sha256:abc"), { status: 400, code: "DIGEST_INVALID" }],
    ["a digest in capitals", "GET", pathOf(absent.replaceAll("0", "A")), { status: 400, code: "DIGEST_INVALID" }],
    ["an unknown algorithm", "GET", pathOf(`md5:${"0".repeat(32)}`), { status: 400, code: "DIGEST_INVALID" }],
    ["a blob by a tag", "GET", pathOf("latest"), { status: 400, code: "DIGEST_INVALID" }],
    ["a blob that is not there, deleted", "DELETE", pathOf(absent), { status: 404, code: "BLOB_UNKNOWN" }],
    ["a digest that is none, deleted", "DELETE", pathOf("sha256:abc"), { status: 400, code: "DIGEST_INVALID" }],
  ];
  // Once before the registry exists, once after.
  describe.each(["missing", "present"])("with the registry %s", (state) => {
    beforeAll(async () => {
      if (state === "present") await pushBlob(caller, repository, contents.small);
    });
    test.each(rows)("%s", async (_, method, path, expected) => {
      expectReply(await caller.send(method, path), expected);
    });
  });

  test("a deleted blob is gone from its repository at once, and from no other", async () => {
    const content = contentOf("to be deleted");
    for (const each of ["my-project/keeps", repository]) await pushBlob(caller, each, content);
    expectReply(await caller.send("GET", pathOf(content.digest)), { status: 200, text: "to be deleted" });
    expectReply(await caller.send("DELETE", pathOf(content.digest)), { status: 202, text: "" });
    for (const method of ["GET", "HEAD", "DELETE"]) {
      expectReply(await caller.send(method, pathOf(content.digest)), { status: 404 });
    }
    expectReply(await caller.send("GET", `/v2/my-project/keeps/blobs/${content.digest}`), { status: 200 });
    await pushBlob(caller, repository, content);
    expectReply(await caller.send("GET", pathOf(content.digest)), { status: 200, text: "to be deleted" });
  });

  test("a blob that a manifest uses cannot be deleted; afterwards it can", async () => {
    const manifest = await pushImage(caller, repository, "in use", "v1");
    const { config, layers } = imageOf("in use");
    for (const { digest } of [config, ...layers]) {
      const message = `The blob is used by the manifest ${manifest.digest}; delete that first.`;
      expectReply(await caller.send("DELETE", pathOf(digest)), { status: 405, code: "BLOB_REFERENCED", message });
      expectReply(await caller.send("HEAD", pathOf(digest)), { status: 200 });
    }
    expectReply(await caller.send("DELETE", `/v2/${repository}/manifests/${manifest.digest}`), { status: 202 });
    for (const { digest } of [config, ...layers]) {
      expectReply(await caller.send("DELETE", pathOf(digest)), { status: 202 });
    }
  });

  test("a blob that an index lists, as a build cache does, cannot be deleted", async () => {
    const cache = contentOf("a layer of a build cache");
    await pushBlob(caller, repository, cache);
    const mediaType = "application/vnd.oci.image.index.v1+json";
    const layer = { mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: cache.digest, size: cache.size };
    await pushDocument(caller, repository, { mediaType, manifests: [layer] }, "cache");
    expectReply(await caller.send("DELETE", pathOf(cache.digest)), { status: 405, code: "BLOB_REFERENCED" });
  });
});
