import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { BerthError } from "../http/berth-error.ts";
import { digestOf } from "../names/digest.ts";
import { mediaTypes } from "../names/media-types.ts";
import { parseManifest } from "./manifest-document.ts";

const config = { mediaType: "application/vnd.oci.image.config.v1+json", digest: digestOf("config"), size: 6 };
const layer = { mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: digestOf("layer"), size: 5 };
const image = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: [layer] };
const child = { mediaType: mediaTypes.ociManifest, digest: digestOf("child"), size: 7 };
const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [child] };

const parse = (document: unknown, contentType = "") =>
  parseManifest(Buffer.from(JSON.stringify(document)), contentType);

function refusal(document: unknown, contentType = ""): string {
  try {
    parse(document, contentType);
  } catch (error) {
    expect((error as BerthError).code).toBe("MANIFEST_INVALID");
    return (error as BerthError).message;
  }
  throw new Error("the document was accepted");
}

describe("what is read of a manifest", () => {
  test("an image's config, layers and size", () => {
    expect(parse(image)).toMatchObject({ mediaType: mediaTypes.ociManifest, config, layers: [layer], imageSize: 5 });
    expect(parse({ ...image, mediaType: undefined }, mediaTypes.dockerManifest).mediaType).toBe(
      mediaTypes.dockerManifest,
    );
  });

  test("an index's children", () => {
    expect(parse(index)).toMatchObject({ children: [child], config: null, layers: [], imageSize: 0 });
  });

  test("layers that stay elsewhere need not be there", () => {
    const foreign = {
      ...layer,
      mediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
      urls: ["https://x.example"],
    };
    expect(parse({ ...image, layers: [layer, foreign] }).layers).toEqual([layer]);
  });

  test("the artifact type is the manifest's, else its config's; an index without one has none", () => {
    expect(parse({ ...image, artifactType: "a/b" }).artifactType).toBe("a/b");
    expect(parse({ ...image, artifactType: "" }).artifactType).toBe(config.mediaType);
    expect(parse(index).artifactType).toBeNull();
  });

  test("fields of others are let be", () => {
    expect(
      parse({ ...image, "org.example": { deep: [1] }, layers: [{ ...layer, data: "x", platform: {} }] }).layers,
    ).toHaveLength(1);
  });
});

describe("what is refused, with the reason", () => {
  test("layers and manifests in one document", () => {
    expect(refusal({ ...image, manifests: [child] })).toContain("manifests");
    expect(refusal({ ...index, layers: [layer] })).toContain("layers");
    expect(refusal({ ...index, config })).toContain("config");
  });

  test("a mediaType that contradicts the Content-Type", () => {
    expect(refusal(image, mediaTypes.dockerManifest)).toContain("Content-Type");
    expect(refusal(image, mediaTypes.ociIndex)).toContain("Content-Type");
  });

  test("types that are no manifest's", () => {
    expect(refusal({ ...image, mediaType: undefined }, "application/json")).toContain("application/json");
    expect(refusal({ ...image, mediaType: "application/vnd.oci.artifact.manifest.v1+json" })).toContain("artifact");
  });

  test("Docker schema 1, by its type and by its number", () => {
    expect(refusal({}, "application/vnd.docker.distribution.manifest.v1+prettyjws")).toContain("schema 1");
    expect(refusal({ schemaVersion: 1, name: "x", fsLayers: [] })).toContain("schema 1");
  });

  test.each([
    [{ ...image, schemaVersion: 3 }, "schemaVersion"],
    [{ ...image, config: undefined }, "config"],
    [{ ...image, layers: undefined }, "layers"],
    [{ ...image, layers: [{ ...layer, digest: "sha256:00" }] }, "layers.0.digest"],
    [{ ...image, layers: [{ ...layer, size: -1 }] }, "layers.0.size"],
    [{ ...image, layers: [{ ...layer, size: 1.5 }] }, "layers.0.size"],
    [{ ...image, subject: {} }, "subject"],
    [{ ...image, annotations: { a: 1 } }, "annotations.a"],
    [{ ...index, manifests: {} }, "manifests"],
    ["text", "object"],
    [[], "object"],
    [null, "object"],
  ])("%j", (document, place) => {
    expect(
      refusal(document, typeof document === "object" && document !== null ? "" : mediaTypes.ociManifest),
    ).toContain(place);
  });
});

test("whatever arrives, the answer is a document or a refusal", () => {
  const near = fc.record(
    {
      schemaVersion: fc.constantFrom(1, 2, "2"),
      mediaType: fc.constantFrom(...Object.values(mediaTypes), 7),
      config: fc.oneof(fc.constant(config), fc.jsonValue()),
      layers: fc.oneof(fc.constant([layer]), fc.jsonValue()),
      manifests: fc.oneof(fc.constant([child]), fc.jsonValue()),
      annotations: fc.jsonValue(),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.oneof(near, fc.jsonValue()), fc.constantFrom("", ...Object.values(mediaTypes)), (document, type) => {
      try {
        const parsed = parse(document, type);
        expect(parsed.children.length === 0 || parsed.layers.length === 0).toBe(true);
      } catch (error) {
        expect(error).toBeInstanceOf(BerthError);
      }
    }),
    { numRuns: 500 },
  );
});
