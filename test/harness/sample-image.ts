import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { digestOf, ImageLayout, mediaTypes, sha256 } from "./image-layout.ts";
import type { Scratch } from "./scratch.ts";
import { run } from "./tools.ts";

/** A small image in the forms that clients read, with a file in it by which a pull is checked. */
export interface SampleImage {
  /** OCI layout with this one image, tagged `tag`. */
  layout: string;
  tag: string;
  /** The layout as one tar file. */
  archive: string;
  /** The image's files as an uncompressed tar file. */
  tree: string;
  digest: string;
  /** Path of the file in the image, without a leading slash. */
  file: string;
  /** SHA-256 of the file, in hex. */
  fileHash: string;
}

const file = "payload.bin";
const tag = "sample";

/** Makes an image that exists nowhere yet: `megabytes` of random bytes below a layer of text. */
export async function makeSampleImage(scratch: Scratch, megabytes = 2): Promise<SampleImage> {
  const payload = randomBytes(megabytes * 2 ** 20);
  const tree = await new Bun.Archive({ [file]: payload }).bytes();
  const text = await new Bun.Archive({ "etc/motd": `${sha256(payload)}\n`.repeat(500) }).bytes();
  const layout = new ImageLayout(scratch.directory("sample"));
  const tars = [tree, text];
  const layers = tars.map((tar) => layout.addBlob(Bun.gzipSync(tar), mediaTypes.gzip));
  const image = layout.addImage(layers, tars.map(digestOf));
  layout.tag(image, tag);
  const archive = `${layout.path}.tar`;
  await run(["tar", "-C", layout.path, "-cf", archive, "."]);
  const treeFile = `${layout.path}-tree.tar`;
  await Bun.write(treeFile, tree);
  return { layout: layout.path, tag, archive, tree: treeFile, digest: image.digest, file, fileHash: sha256(payload) };
}

export async function hashFile(...path: string[]): Promise<string> {
  const hasher = new Bun.CryptoHasher("sha256");
  for await (const chunk of Bun.file(join(...path)).stream()) hasher.update(chunk);
  return hasher.digest("hex");
}
