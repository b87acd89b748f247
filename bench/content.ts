import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digestOf } from "../src/names/digest.ts";

/** What is pulled: one image, many small blobs, one large one; files for the bare server, bytes for the others. */
export interface Content {
  directory: string;
  manifest: Uint8Array;
  manifestDigest: string;
  blobs: Map<string, Uint8Array>;
  smallDigests: string[];
  largeDigest: string;
}

export const repository = "my-project/bench";

export function randomBytes(size: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  // Random at the head of each page is enough to be unique, and no server here compresses.
  for (let at = 0; at < size; at += 4096) crypto.getRandomValues(bytes.subarray(at, Math.min(at + 16, size)));
  return bytes;
}

export async function makeContent(sizes: { small: number; large: number }): Promise<Content> {
  const directory = mkdtempSync(join(tmpdir(), "berth-bench-content-"));
  const blobs = new Map<string, Uint8Array>();
  const add = (bytes: Uint8Array): { digest: string; size: number } => {
    const digest = digestOf(bytes);
    blobs.set(digest, bytes);
    return { digest, size: bytes.byteLength };
  };
  const large = randomBytes(sizes.large);
  await Bun.write(join(directory, "large"), large);
  const config = add(
    Buffer.from(JSON.stringify({ created: "2026-01-01T00:00:00Z", architecture: "amd64", os: "linux" })),
  );
  const layers = Array.from({ length: sizes.small }, () => add(randomBytes(4096)));
  await Bun.write(join(directory, "small-0"), randomBytes(4096));
  const manifest = Buffer.from(JSON.stringify(makeManifest(config, layers.slice(0, 5))));
  await Bun.write(join(directory, "manifest.json"), manifest);
  const largeDigest = add(large).digest;
  return {
    directory,
    manifest,
    manifestDigest: digestOf(manifest),
    blobs,
    smallDigests: layers.map(({ digest }) => digest),
    largeDigest,
  };
}

interface Part {
  digest: string;
  size: number;
}

export const manifestType = "application/vnd.oci.image.manifest.v1+json";

export function makeManifest(config: Part, layers: Part[], annotations: Record<string, string> = {}): object {
  return {
    schemaVersion: 2,
    mediaType: manifestType,
    config: { mediaType: "application/vnd.oci.image.config.v1+json", ...config },
    layers: layers.map((layer) => ({ mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", ...layer })),
    annotations,
  };
}
