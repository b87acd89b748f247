import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Berth, startBerth } from "../harness/berth.ts";
import { type Caller, callerOf, errorsOf, type Expected, expectReply } from "../harness/caller.ts";
import {
  type Content,
  contentOf,
  describe as descriptorOf,
  imageOf,
  pushBlob,
  pushDocument,
  pushImage,
  putManifest,
} from "../harness/content.ts";
import { type ManifestDocument, mediaTypes } from "../harness/image-layout.ts";

const repository = "my-project/manifests";
const at = (reference: string): string => `/v2/${repository}/manifests/${reference}`;
const api = { "docker-distribution-api-version": "registry/2.0" };
const sample = imageOf("sample");
const absent = `sha256:${"0".repeat(64)}`;

let berth: Berth;
let caller: Caller;
beforeAll(async () => {
  berth = await startBerth();
  caller = callerOf(berth);
  await Promise.all([sample.config, ...sample.layers].map((blob) => pushBlob(caller, repository, blob)));
});
afterAll(() => berth.stop());

/** Reads a manifest back in every way and compares it byte for byte. */
async function expectStored(reference: string, content: Content, mediaType: string): Promise<void> {
  const headers = {
    ...api,
    "content-type": mediaType,
    "content-length": String(content.size),
    "docker-content-digest": content.digest,
    etag: `"${content.digest}"`,
  };
  expectReply(await caller.send("GET", at(reference)), {
    status: 200,
    headers,
    text: Buffer.from(content.bytes).toString("utf8"),
  });
  expectReply(await caller.send("HEAD", at(reference)), { status: 200, headers, text: "" });
}

describe("push and pull", () => {
  const forms: [string, ManifestDocument][] = [
    ["an OCI image", sample.document],
    ["a Docker image", { ...sample.document, mediaType: mediaTypes.dockerImage }],
    ["an image with an artifact type", { ...sample.document, artifactType: "application/vnd.test.thing" }],
    ["an image without layers", { ...sample.document, layers: [] }],
    ["an OCI index", { mediaType: mediaTypes.index, manifests: [] }],
    ["a Docker list", { mediaType: mediaTypes.dockerList, manifests: [] }],
    [
      "a sparse index",
      { mediaType: mediaTypes.index, manifests: [{ mediaType: mediaTypes.image, digest: absent, size: 7 }] },
    ],
    [
      "an index of layers, as build caches are",
      { mediaType: mediaTypes.index, manifests: sample.layers.map((layer) => descriptorOf(layer, mediaTypes.zstd)) },
    ],
    [
      "layers of any media type",
      { ...sample.document, layers: sample.layers.map((layer) => descriptorOf(layer, "text/x-unheard-of")) },
    ],
    [
      "a layer that stays elsewhere and was not pushed",
      {
        ...sample.document,
        layers: [{ mediaType: mediaTypes.foreignLayer, digest: absent, size: 9, urls: ["https://layers.example/x"] }],
      },
    ],
  ];
  test.each(forms)("%s, by tag and by digest", async (name, document) => {
    // With blanks that no registry may tidy away.
    const content = contentOf(JSON.stringify({ schemaVersion: 2, ...document }, null, 3));
    const mediaType = document.mediaType as string;
    for (const reference of [name.replaceAll(/\W/g, "-"), content.digest]) {
      const reply = await putManifest(caller, repository, reference, content.bytes, mediaType);
      const headers = { ...api, location: at(content.digest), "docker-content-digest": content.digest };
      expectReply(reply, { status: 201, headers: { ...headers, "oci-subject": null, "oci-tag": null }, text: "" });
      await expectStored(reference, content, mediaType);
    }
  });

  test("an artifact of nothing but the empty descriptor", async () => {
    const empty = contentOf("{}");
    await pushBlob(caller, repository, empty);
    const blank = descriptorOf(empty, "application/vnd.oci.empty.v1+json");
    const document = {
      mediaType: mediaTypes.image,
      artifactType: "application/vnd.test",
      config: blank,
      layers: [blank],
    };
    await expectStored("empty", await pushDocument(caller, repository, document, "empty"), mediaTypes.image);
  });

  test("an index of an index", async () => {
    const image = await pushDocument(caller, repository, sample.document);
    const mediaType = mediaTypes.index;
    const inner = await pushDocument(caller, repository, {
      mediaType,
      manifests: [descriptorOf(image, mediaTypes.image)],
    });
    const outer = { mediaType, manifests: [descriptorOf(inner, mediaType)] };
    await expectStored("nested", await pushDocument(caller, repository, outer, "nested"), mediaType);
  });

  test("by a digest of sha512, whose blobs are of it too", async () => {
    const layer = contentOf("a layer of sha512", "sha512");
    const config = contentOf('{"sha":512}', "sha512");
    for (const blob of [layer, config]) await pushBlob(caller, repository, blob);
    const described = {
      config: descriptorOf(config, mediaTypes.config),
      layers: [descriptorOf(layer, mediaTypes.tar)],
    };
    const content = contentOf(
      JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.image, ...described }),
      "sha512",
    );
    expectReply(await putManifest(caller, repository, content.digest, content.bytes), {
      status: 201,
      headers: { location: at(content.digest), "docker-content-digest": content.digest },
    });
    await expectStored(content.digest, content, mediaTypes.image);
  });

  const types: [string, string, string][] = [
    ["with a parameter", `${mediaTypes.image}; charset=utf-8`, mediaTypes.image],
    ["in capitals", mediaTypes.image.toUpperCase(), mediaTypes.image],
    ["left away", "", mediaTypes.image],
  ];
  test.each(types)("a Content-Type %s", async (form, contentType, stored) => {
    const content = contentOf(JSON.stringify({ ...sample.document, annotations: { form } }));
    // A Blob without a type keeps fetch from naming one of its own.
    const headers: Record<string, string> = contentType === "" ? {} : { "content-type": contentType };
    const reply = await caller.send("PUT", at("typed"), { body: new Blob([content.bytes]), headers });
    expectReply(reply, { status: 201 });
    await expectStored("typed", content, stored);
  });

  test("a document that does not name its type is what Content-Type says", async () => {
    const { mediaType: _, ...document } = sample.document;
    const content = contentOf(JSON.stringify(document));
    const reply = await putManifest(caller, repository, "unnamed", content.bytes, mediaTypes.dockerImage);
    expectReply(reply, { status: 201 });
    await expectStored("unnamed", content, mediaTypes.dockerImage);
  });

  // Container Registry compared Accept literally and said 404; the specification wins.
  const accepts = ["application/json", `${mediaTypes.index};q=0.9`, "*/*", "text/html", mediaTypes.dockerList, ""];
  test.each(accepts)("the stored type is served whatever Accept says: %s", async (accept) => {
    const content = await pushDocument(caller, repository, sample.document, "accept");
    for (const reference of ["accept", content.digest]) {
      const reply = await caller.send("GET", at(reference), { headers: { accept } });
      expectReply(reply, { status: 200, headers: { "content-type": mediaTypes.image } });
      expect(contentOf(reply.bytes).digest).toBe(content.digest);
    }
  });

  test("a tag moves; its digests stay, and If-None-Match tells the one from the other", async () => {
    const [first, second] = [
      await pushImage(caller, repository, "1", "moves"),
      contentOf(JSON.stringify(sample.document)),
    ];
    const conditional = (digest: string) =>
      caller.send("GET", at("moves"), { headers: { "if-none-match": `"${digest}"` } });
    expectReply(await conditional(first.digest), { status: 304, headers: { etag: `"${first.digest}"` }, text: "" });
    await pushDocument(caller, repository, sample.document, "moves");
    expectReply(await conditional(first.digest), { status: 200, headers: { "docker-content-digest": second.digest } });
    expectReply(await conditional(second.digest), { status: 304 });
    for (const { digest } of [first, second]) expectReply(await caller.send("HEAD", at(digest)), { status: 200 });
  });
});

describe("several tags in one push by digest", () => {
  test("each is set, and named in the reply", async () => {
    const content = contentOf(JSON.stringify({ ...sample.document, annotations: { tags: "many" } }));
    const path = `${content.digest}?tag=one&tag=two&tag=one&tag=v1.0_x-y`;
    const reply = await putManifest(caller, repository, path, content.bytes);
    const headers = { location: at(content.digest), "oci-tag": "one, two, v1.0_x-y" };
    expectReply(reply, { status: 201, headers });
    for (const tag of ["one", "two", "v1.0_x-y"]) await expectStored(tag, content, mediaTypes.image);
  });

  test("one that is no tag refuses them all", async () => {
    const content = contentOf(JSON.stringify({ ...sample.document, annotations: { tags: "bad" } }));
    const reply = await putManifest(caller, repository, `${content.digest}?tag=good&tag=-bad`, content.bytes);
    expectReply(reply, { status: 400, code: "TAG_INVALID" });
    for (const reference of ["good", content.digest]) {
      expectReply(await caller.send("HEAD", at(reference)), { status: 404 });
    }
  });

  test("a push by tag sets that tag alone", async () => {
    const reply = await putManifest(caller, repository, "alone?tag=not-this", sample.document);
    expectReply(reply, { status: 201, headers: { "oci-tag": null } });
    expectReply(await caller.send("HEAD", at("not-this")), { status: 404 });
  });
});

describe("missing", () => {
  const rows: [string, string, Expected][] = [
    [
      "GET",
      "no-such-tag",
      {
        status: 404,
        code: "MANIFEST_UNKNOWN",
        message: `Failed to fetch "no-such-tag" from request "${at("no-such-tag")}".`,
      },
    ],
    ["GET", absent, { status: 404, code: "MANIFEST_UNKNOWN" }],
    ["HEAD", "no-such-tag", { status: 404, text: "" }],
    ["GET", "sha256:0", { status: 400, code: "DIGEST_INVALID" }],
    ["GET", `md5:${"0".repeat(32)}`, { status: 400, code: "DIGEST_INVALID" }],
    ["GET", ".hidden", { status: 400, code: "TAG_INVALID" }],
    ["PUT", "-option", { status: 400, code: "TAG_INVALID" }],
    ["PUT", "a%20b", { status: 400, code: "TAG_INVALID" }],
    [
      "DELETE",
      "no-such-tag",
      { status: 404, code: "MANIFEST_UNKNOWN", message: "Failed to compute blob liveness for manifest: 'no-such-tag'" },
    ],
    ["DELETE", absent, { status: 404, code: "MANIFEST_UNKNOWN" }],
    ["DELETE", "sha256:0", { status: 400, code: "DIGEST_INVALID" }],
  ];
  test.each(rows)("%s %s", async (method, reference, expected) => {
    expectReply(await caller.send(method, at(reference)), expected);
  });
});

describe("refused, and nothing of it kept", () => {
  const { config, layers, document } = sample;
  const text = JSON.stringify(document);
  const layer = descriptorOf(layers[0] as Content, mediaTypes.gzip);
  const bad = (changes: object): string => JSON.stringify({ ...document, ...changes });
  const rows: [string, string, string, RegExp][] = [
    ["no JSON", "not JSON", mediaTypes.image, /not JSON/],
    ["nothing", "", mediaTypes.image, /not JSON/],
    ["a list", "[]", mediaTypes.image, /not a JSON object/],
    ["JSON with something after it", `${text}{}`, mediaTypes.image, /not JSON/],
    ["a key twice", text.replace("{", '{"schemaVersion":2,'), mediaTypes.image, /twice/],
    ["a key twice, once in escapes", text.replace("{", '{"schem\\u0061Version":2,'), mediaTypes.image, /twice/],
    ["a key twice further in", text.replace('"size"', '"size":1,"size"'), mediaTypes.image, /twice/],
    ["layers and manifests, as an image", bad({ manifests: [] }), mediaTypes.image, /no manifests/],
    [
      "layers and manifests, as an index",
      bad({ mediaType: mediaTypes.index, manifests: [] }),
      mediaTypes.index,
      /no config and no layers/,
    ],
    ["a type that contradicts Content-Type", text, mediaTypes.dockerImage, /mediaType is/],
    ["an image as an index", bad({ mediaType: undefined }), mediaTypes.index, /no config and no layers/],
    ["a type that is no manifest's", bad({ mediaType: undefined }), "application/json", /not that of a manifest/],
    ["schema 1", JSON.stringify({ schemaVersion: 1, fsLayers: [] }), "", /[Ss]chema 1/],
    ["schema 1 by its type", text, "application/vnd.docker.distribution.manifest.v1+prettyjws", /[Ss]chema 1/],
    ["schema 3", bad({ schemaVersion: 3 }), mediaTypes.image, /schemaVersion/],
    ["no layers", bad({ layers: undefined }), mediaTypes.image, /layers/],
    ["no config", bad({ config: undefined }), mediaTypes.image, /config/],
    ["a digest that is none", bad({ layers: [{ ...layer, digest: "sha256:0" }] }), mediaTypes.image, /digest/],
    ["a size that is none", bad({ layers: [{ ...layer, size: -1 }] }), mediaTypes.image, /size/],
    [
      "another size than the blob's",
      bad({ layers: [{ ...layer, size: layer.size + 1 }] }),
      mediaTypes.image,
      new RegExp(`${layer.digest} has ${layer.size} bytes`),
    ],
    [
      "another size than the config's",
      bad({ config: { ...descriptorOf(config, mediaTypes.config), size: 1 } }),
      mediaTypes.image,
      /bytes, not 1/,
    ],
    [
      "a subject without a digest",
      bad({ subject: { mediaType: mediaTypes.image, size: 1 } }),
      mediaTypes.image,
      /subject/,
    ],
  ];
  // Where nothing was accepted before: the blobs are readable elsewhere in the registry.
  const refused = (reference: string): string => `/v2/my-project/refused/manifests/${reference}`;

  test.each(rows)("%s", async (_, body, contentType, message) => {
    for (const reference of ["refused", contentOf(body).digest]) {
      const headers: Record<string, string> = contentType === "" ? {} : { "content-type": contentType };
      const reply = await caller.send("PUT", refused(reference), { body: new Blob([body]), headers });
      expectReply(reply, { status: 400, code: "MANIFEST_INVALID", message });
      expectReply(await caller.send("HEAD", refused(reference)), { status: 404 });
    }
  });

  test("bytes that are no UTF-8", async () => {
    const bytes = new Uint8Array(Buffer.from(text.replace("linux", "\xff"), "latin1"));
    bytes[bytes.indexOf(0x7b) + 2] = 0xff;
    const reply = await putManifest(caller, repository, "refused", bytes);
    expectReply(reply, { status: 400, code: "MANIFEST_INVALID", message: /UTF-8/ });
  });

  test("another digest than its bytes have", async () => {
    const reply = await putManifest(caller, repository, absent, document);
    expectReply(reply, { status: 400, code: "DIGEST_INVALID" });
  });

  test("config and layers that are not there are named, one error for each", async () => {
    const missing = imageOf("never pushed");
    const mixed = { ...missing.document, layers: [...(missing.document.layers ?? []), layer] };
    const reply = await putManifest(caller, repository, "refused", mixed);
    expectReply(reply, { status: 404, code: "MANIFEST_BLOB_UNKNOWN" });
    const digests = [missing.config, ...missing.layers].map(({ digest }) => digest);
    expect(errorsOf(reply)).toEqual(
      digests.map((digest) => ({
        code: "MANIFEST_BLOB_UNKNOWN",
        message: expect.stringContaining(digest) as unknown as string,
        detail: { digest },
      })),
    );
    expectReply(await caller.send("HEAD", at("refused")), { status: 404 });
  });
});

test("a manifest that was deleted is gone at once, and can be pushed again", async () => {
  const { digest } = await pushImage(caller, repository, "deleted", "gone-1", "gone-2");
  for (const reference of [digest, "gone-1"]) expectReply(await caller.send("GET", at(reference)), { status: 200 });
  expectReply(await caller.send("DELETE", at(digest)), { status: 202, text: "" });
  for (const reference of [digest, "gone-1", "gone-2"]) {
    for (const method of ["GET", "HEAD", "DELETE"])
      expectReply(await caller.send(method, at(reference)), { status: 404 });
  }
  await pushImage(caller, repository, "deleted", "gone-1");
  expectReply(await caller.send("GET", at("gone-1")), { status: 200, headers: { "docker-content-digest": digest } });
});

describe("with allow-missing-blobs", () => {
  let lenient: Berth;
  beforeAll(async () => {
    lenient = await startBerth({ args: ["--allow-missing-blobs"] });
  });
  afterAll(() => lenient.stop());

  test("an image without its blobs is taken, gives no right to them, and holds them once they come", async () => {
    const pusher = callerOf(lenient);
    const { layers, document } = imageOf("sparse");
    const layer = layers[0] as Content;
    await pushBlob(pusher, "my-project/other", layer);
    const token = await lenient.token(`repository:${repository}:pull,push,delete`);
    const holder = callerOf(lenient, { authorization: `Bearer ${token}` });
    const { digest } = await pushDocument(holder, repository, document, "sparse");
    expectReply(await holder.send("GET", at("sparse")), { status: 200, headers: { "docker-content-digest": digest } });
    const path = `/v2/${repository}/blobs/${layer.digest}`;
    expectReply(await holder.send("GET", path), { status: 404, code: "BLOB_UNKNOWN" });
    await pushBlob(holder, repository, layer);
    expectReply(await holder.send("DELETE", path), { status: 405, code: "BLOB_REFERENCED" });
  });
});
