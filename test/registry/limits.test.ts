import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Berth, startBerth } from "../harness/berth.ts";
import { basic, type Caller, callerOf, type Expected, expectReply, type Reply } from "../harness/caller.ts";
import { contentOf, describe as descriptorOf, noise, pushBlob, putManifest } from "../harness/content.ts";
import { mediaTypes } from "../harness/image-layout.ts";
import { startWithTenants, type TenantServer } from "../harness/tenants.ts";
import { rawHead, rawRequest } from "../harness/raw-http.ts";

const repository = "my-project/limits";
const mebibyte = 2 ** 20;
const blank = contentOf("{}");

let berth: Berth;
let caller: Caller;
beforeAll(async () => {
  berth = await startBerth();
  caller = callerOf(berth);
  await pushBlob(caller, repository, blank);
});
afterAll(() => berth.stop());

/** A body that is sent without a Content-Length. */
function streamed(bytes: Uint8Array): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (let i = 0; i < bytes.length; i += mebibyte) controller.enqueue(bytes.subarray(i, i + mebibyte));
      controller.close();
    },
  });
}

/** A manifest of exactly so many bytes. */
function manifestOf(size: number): Uint8Array<ArrayBuffer> {
  const config = descriptorOf(blank, "application/vnd.oci.empty.v1+json");
  const document = { schemaVersion: 2, mediaType: mediaTypes.image, config, layers: [], annotations: { filler: "" } };
  const filler = "x".repeat(size - JSON.stringify(document).length);
  return contentOf(JSON.stringify({ ...document, annotations: { filler } })).bytes;
}

/** The same with arrays in arrays: so many levels in all, the document itself the first. */
function nested(levels: number): string {
  const deep = "[".repeat(levels - 1) + "]".repeat(levels - 1);
  return `${JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.index, manifests: [] }).slice(0, -1)},"deep":${deep}}`;
}

describe("names and tags", () => {
  const name = (length: number): string => {
    const start = "my-project/";
    return start + "a".repeat(length - start.length);
  };
  const rows: [string, string, string, Expected][] = [
    ["a name of 255 characters", name(255), "v1", { status: 201 }],
    ["a name of 256 characters", name(256), "v1", { status: 400, code: "NAME_INVALID" }],
    ["a name of 5,000 characters", name(5000), "v1", { status: 400, code: "NAME_INVALID" }],
    ["100 segments", `my-project${"/a".repeat(100)}`, "v1", { status: 201 }],
    ["a tag of 128 characters", repository, "t".repeat(128), { status: 201 }],
    ["a tag of 129 characters", repository, "t".repeat(129), { status: 400, code: "TAG_INVALID" }],
    ["separators of every kind", "my-project/a.b_c__d-e---f/0", "A_b.C-d", { status: 201 }],
    ...["my-project/a..b", "my-project/a___b", "my-project/-a", "my-project/a-", "my-project/A", "my-project/a+b"].map(
      (wrong): [string, string, string, Expected] => [wrong, wrong, "v1", { status: 400, code: "NAME_INVALID" }],
    ),
  ];
  test.each(rows)("%s", async (_, where, tag, expected) => {
    const index = { mediaType: mediaTypes.index, manifests: [] };
    expectReply(await putManifest(caller, where, tag, { schemaVersion: 2, ...index } as never), expected);
    if (expected.status === 201) {
      expectReply(await caller.send("GET", `/v2/${where}/manifests/${tag}`), { status: 200 });
      expectReply(await caller.send("GET", `/v2/${where}/tags/list`), { status: 200, json: { tags: [tag] } });
    }
  });
});

describe("headers", () => {
  const head = (size: number): string => {
    const empty = rawHead("GET /v2/", { filler: "" });
    return rawHead("GET /v2/", { filler: "x".repeat(size - empty.length) });
  };
  test("of less than 16 KiB are read", async () => {
    expect((await rawRequest(berth.port, head(16_000))).status).toBe(401);
  });
  test.each([17_000, 100_000])("of %p bytes are refused with 431", async (size) => {
    expect((await rawRequest(berth.port, head(size))).status).toBe(431);
    expectReply(await caller.send("GET", "/v2/"), { status: 200 });
  });
  test("a path that is too long is refused", async () => {
    const reply = await rawRequest(berth.port, rawHead(`GET /v2/my-project/${"a/".repeat(10_000)}tags/list`));
    expect([400, 414, 431]).toContain(reply.status);
  });
});

describe("manifests", () => {
  const limit = 4 * mebibyte;
  const tooLarge: Expected = { status: 413, code: "MANIFEST_TOO_LARGE" };
  const headers = { "content-type": mediaTypes.image };
  const put = (body: RequestInit["body"]): Promise<Reply> =>
    caller.send("PUT", `/v2/${repository}/manifests/large`, { body, headers });

  test.each(["with its length", "streamed"])("4 MiB are taken, one byte more is not: %s", async (form) => {
    const [fits, exceeds] = [manifestOf(limit), manifestOf(limit + 1)];
    const bodyOf = (bytes: Uint8Array<ArrayBuffer>) => (form === "streamed" ? streamed(bytes) : bytes);
    expectReply(await put(bodyOf(exceeds)), tooLarge);
    const { digest } = contentOf(fits);
    expectReply(await put(bodyOf(fits)), { status: 201, headers: { "docker-content-digest": digest } });
    const read = await caller.send("GET", `/v2/${repository}/manifests/large`);
    expect(contentOf(read.bytes).digest).toBe(digest);
    expectReply(await put(bodyOf(exceeds)), tooLarge);
    const after = await caller.send("HEAD", `/v2/${repository}/manifests/large`);
    expectReply(after, { status: 200, headers: { "docker-content-digest": digest } });
    expectReply(await caller.send("DELETE", `/v2/${repository}/manifests/${digest}`), { status: 202 });
  });

  test("64 levels are taken, one more is not, and neither are a million", async () => {
    expectReply(await putManifest(caller, repository, "deep", nested(64), mediaTypes.index), { status: 201 });
    for (const levels of [65, 1_000_000]) {
      const reply = await putManifest(caller, repository, "deep", nested(levels), mediaTypes.index);
      expectReply(reply, { status: 400, code: "MANIFEST_INVALID" });
    }
  });

  test("100 tags at once are taken, 101 are not", async () => {
    const body = JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.index, manifests: [] });
    const { digest } = contentOf(body);
    const query = (count: number): string => Array.from({ length: count }, (_, i) => `tag=t${i}`).join("&");
    const at = (count: number) =>
      putManifest(caller, "my-project/tagged", `${digest}?${query(count)}`, body, mediaTypes.index);
    expectReply(await at(101), { status: 414, code: "TAGS_TOO_MANY" });
    expectReply(await caller.send("GET", "/v2/my-project/tagged/tags/list"), { status: 404 });
    expectReply(await at(100), { status: 201 });
    const list = await caller.send("GET", "/v2/my-project/tagged/tags/list");
    expect((JSON.parse(list.text) as { tags: string[] }).tags).toHaveLength(100);
  });
});

describe("uploads", () => {
  const limit = 100_000;
  const stranger = "stranger@strange-project.iam.gserviceaccount.com";
  let small: TenantServer;
  let sender: Caller;
  const uploads = `/v2/${repository}/blobs/uploads/`;
  const content = contentOf(noise("exactly", limit));
  const exceeding = contentOf(noise("exceeding", limit + 1));
  beforeAll(async () => {
    small = await startWithTenants([{ project: "strange-project", owners: [stranger] }], {
      args: ["--limits-upload-size", String(limit), "--limits-open-uploads", "3"],
    });
    sender = callerOf(small);
  });
  afterAll(() => small.stop());

  const tooLarge: Expected = { status: 413, code: "BLOB_TOO_LARGE" };
  const start = async (): Promise<string> => {
    const reply = await sender.send("POST", uploads);
    expectReply(reply, { status: 202 });
    return reply.headers.get("location") as string;
  };
  const finish = (place: string, digest: string, body: RequestInit["body"]): Promise<Reply> =>
    sender.send("PUT", `${place}?digest=${digest}`, { body });

  describe.each(["with its length", "streamed"])("a body %s", (form) => {
    const bodyOf = (bytes: Uint8Array<ArrayBuffer>) => (form === "streamed" ? streamed(bytes) : bytes);

    test("in one POST: the limit is taken, one byte more is not", async () => {
      const post = ({ digest, bytes }: typeof content) =>
        sender.send("POST", `${uploads}?digest=${digest}`, { body: bodyOf(bytes) });
      expectReply(await post(exceeding), tooLarge);
      expectReply(await post(content), { status: 201 });
      expectReply(await sender.send("HEAD", `/v2/${repository}/blobs/${exceeding.digest}`), { status: 404 });
    });

    test("in PATCH and PUT together; what went before the refusal stands", async () => {
      const place = await start();
      expectReply(await sender.send("PATCH", place, { body: bodyOf(exceeding.bytes) }), tooLarge);
      const half = await sender.send("PATCH", place, { body: bodyOf(exceeding.bytes.slice(0, limit / 2)) });
      expectReply(half, { status: 202, headers: { range: `0-${limit / 2 - 1}` } });
      const next = half.headers.get("location") as string;
      expectReply(await finish(next, exceeding.digest, bodyOf(exceeding.bytes.slice(limit / 2))), tooLarge);
      expectReply(await sender.send("PATCH", next, { body: bodyOf(exceeding.bytes.slice(limit / 2)) }), tooLarge);
      const most = contentOf(exceeding.bytes.slice(0, limit));
      expectReply(await finish(next, most.digest, bodyOf(exceeding.bytes.slice(limit / 2, limit))), { status: 201 });
    });
  });

  test("of one principal three may be open; another's are not counted", async () => {
    const open = [await start(), await start(), await start()];
    const refused = { status: 429, code: "TOOMANYREQUESTS" };
    expectReply(await sender.send("POST", uploads), refused);
    // Under another host too: the limit is the principal's.
    expectReply(await callerOf(small, { host: "us.gcr.io" }).send("POST", uploads), refused);
    // A blob in one request opens none, and neither does a mount.
    expectReply(await sender.send("POST", `${uploads}?digest=${content.digest}`, { body: content.bytes }), {
      status: 201,
    });
    expectReply(await sender.send("POST", `${uploads}?mount=${content.digest}&from=${repository}`), { status: 201 });
    const other = callerOf(small, { authorization: basic(small.keys.get(stranger) as string) });
    expectReply(await other.send("POST", "/v2/strange-project/app/blobs/uploads/"), { status: 202 });
    // One that is cancelled, and one that is finished, makes room for another.
    expectReply(await sender.send("DELETE", open[0] as string), { status: 204 });
    open.push(await start());
    expectReply(await sender.send("POST", uploads), refused);
    expectReply(await finish(open[1] as string, content.digest, content.bytes), { status: 201 });
    open.push(await start());
    expectReply(await sender.send("POST", uploads), refused);
    for (const place of open.slice(2)) expectReply(await sender.send("DELETE", place), { status: 204 });
  });
});
