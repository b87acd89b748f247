import { type Caller, expectReply, type Reply } from "./caller.ts";
import { type Descriptor, type ManifestDocument, mediaTypes } from "./image-layout.ts";

/** Bytes with their digest. */
export interface Content {
  bytes: Uint8Array<ArrayBuffer>;
  digest: string;
  size: number;
}

/** Content of the given text or bytes. */
export function contentOf(source: Uint8Array | string, algorithm: "sha256" | "sha512" = "sha256"): Content {
  const bytes = new Uint8Array(Buffer.from(source));
  const digest = `${algorithm}:${new Bun.CryptoHasher(algorithm).update(bytes).digest("hex")}`;
  return { bytes, digest, size: bytes.byteLength };
}

/** Bytes that repeat nowhere, the same for the same seed: a part from another place cannot pass for the right one. */
export function noise(seed: string, size: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(size / 4));
  let state = Number(Bun.hash.crc32(seed)) | 1;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return new Uint8Array(words.buffer, 0, size);
}

/** Uploads a blob in one request. */
export async function pushBlob(caller: Caller, repository: string, content: Content): Promise<void> {
  const path = `/v2/${repository}/blobs/uploads/?digest=${content.digest}`;
  expectReply(await caller.send("POST", path, { body: content.bytes }), { status: 201 });
}

export function describe(content: Content, mediaType: string): Descriptor {
  return { mediaType, digest: content.digest, size: content.size };
}

export interface ImageParts {
  config: Content;
  layers: Content[];
  /** The manifest's document, to be changed by tests before it is written. */
  document: ManifestDocument & { schemaVersion: 2 };
}

/** The parts of an image that exists once for each seed. */
export function imageOf(seed: string, changes: Partial<ManifestDocument> = {}): ImageParts {
  const created = "2024-05-06T07:08:09Z";
  const config = contentOf(JSON.stringify({ created, os: "linux", architecture: "amd64", seed }));
  const layers = [contentOf(`${seed}: the lower layer`), contentOf(`${seed}: the upper layer, which is longer`)];
  const described = {
    config: describe(config, mediaTypes.config),
    layers: layers.map((each) => describe(each, mediaTypes.gzip)),
  };
  return { config, layers, document: { schemaVersion: 2, mediaType: mediaTypes.image, ...described, ...changes } };
}

/** Puts a manifest and gives the reply, whatever it is. */
export function putManifest(
  caller: Caller,
  repository: string,
  reference: string,
  document: ManifestDocument | Uint8Array<ArrayBuffer> | string,
  contentType?: string,
): Promise<Reply> {
  const isBytes = typeof document === "string" || document instanceof Uint8Array;
  const body = isBytes ? document : JSON.stringify(document);
  const type = contentType ?? (isBytes ? mediaTypes.image : (document.mediaType ?? mediaTypes.image));
  return caller.send("PUT", `/v2/${repository}/manifests/${reference}`, { body, headers: { "content-type": type } });
}

/** Pushes a document under its digest, and under tags. */
export async function pushDocument(
  caller: Caller,
  repository: string,
  document: ManifestDocument,
  ...tags: string[]
): Promise<Content> {
  const content = contentOf(JSON.stringify({ schemaVersion: 2, ...document }));
  for (const reference of tags.length > 0 ? tags : [content.digest]) {
    const reply = await putManifest(caller, repository, reference, content.bytes, document.mediaType);
    expectReply(reply, { status: 201, headers: { "docker-content-digest": content.digest } });
  }
  return content;
}

/** Pushes the image of a seed, blobs and all. */
export async function pushImage(caller: Caller, repository: string, seed: string, ...tags: string[]): Promise<Content> {
  const { config, layers, document } = imageOf(seed);
  await Promise.all([config, ...layers].map((blob) => pushBlob(caller, repository, blob)));
  return pushDocument(caller, repository, document, ...tags);
}
