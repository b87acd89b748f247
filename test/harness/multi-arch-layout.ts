import { randomBytes } from "node:crypto";
import { type Descriptor, digestOf, ImageLayout, mediaTypes, readLayout } from "./image-layout.ts";
import type { Scratch } from "./scratch.ts";

/** An OCI layout with an image for each of two architectures (tags `amd64`, `arm64`) and an index of both (`multi`). */
export interface MultiArchLayout {
  path: string;
  /** A layout that holds the index only, for clients that take all there is. */
  indexOnly: string;
  index: Descriptor;
  images: { amd64: Descriptor; arm64: Descriptor };
  /** Every blob and manifest that the index reaches. */
  digests: string[];
}

export async function makeMultiArchLayout(scratch: Scratch): Promise<MultiArchLayout> {
  const layout = new ImageLayout(scratch.directory("multi"));
  const indexOnly = new ImageLayout(scratch.directory("index"));
  const addImage = async (architecture: "amd64" | "arm64"): Promise<Descriptor> => {
    const tar = await new Bun.Archive({ [`lib/${architecture}.so`]: randomBytes(100_000) }).bytes();
    const compressed = Bun.gzipSync(tar);
    for (const each of [indexOnly, layout])
      each.addImage([each.addBlob(compressed, mediaTypes.gzip)], [digestOf(tar)], architecture);
    return layout.addImage([layout.addBlob(compressed, mediaTypes.gzip)], [digestOf(tar)], architecture);
  };
  const images = { amd64: await addImage("amd64"), arm64: await addImage("arm64") };
  const index = layout.addIndex([images.amd64, images.arm64]);
  indexOnly.tag(indexOnly.addIndex([images.amd64, images.arm64]), "multi");
  layout.tag(index, "multi");
  layout.tag(images.amd64, "amd64");
  layout.tag(images.arm64, "arm64");
  return {
    path: layout.path,
    indexOnly: indexOnly.path,
    index,
    images,
    digests: [...readLayout(indexOnly.path).blobs.keys()],
  };
}
