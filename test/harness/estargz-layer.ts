import { digestOf } from "./image-layout.ts";

/** A layer from which single files can be read by ranges of bytes. [containerd/stargz-snapshotter, docs/estargz.md] */
export interface EstargzLayer {
  /** A gzip file like any other: a member for each file, one for the table of contents, the footer. */
  content: Uint8Array;
  /** The tar file within. */
  tar: Uint8Array;
  annotations: Record<string, string>;
}

/** An entry of the table of contents. */
export interface EstargzEntry {
  name: string;
  type: "reg";
  size: number;
  /** Where in the layer the file's own gzip member begins. */
  offset: number;
  digest: string;
}

/** Length of the footer: an empty gzip member whose extra field says where the table of contents begins. */
export const estargzFooterSize = 51;

/** Where in the footer the offset stands, in hex. */
const footerPayload = 16;

export async function makeEstargzLayer(files: Record<string, Uint8Array>): Promise<EstargzLayer> {
  const members: Uint8Array[] = [];
  const tars: Uint8Array[] = [];
  const entries: EstargzEntry[] = [];
  let offset = 0;
  const add = (tar: Uint8Array): void => {
    const member = Bun.gzipSync(Buffer.from(tar));
    tars.push(tar);
    members.push(member);
    offset += member.length;
  };
  for (const [name, bytes] of Object.entries(files)) {
    const tar = await tarEntry(name, bytes);
    // Header and content stand in members of their own: a range of the second alone is the file.
    add(tar.subarray(0, 512));
    entries.push({ name, type: "reg", size: bytes.length, offset, digest: digestOf(bytes) });
    add(tar.subarray(512));
  }
  const contents = JSON.stringify({ version: 1, entries });
  const contentsOffset = offset;
  add(Buffer.concat([await tarEntry("stargz.index.json", Buffer.from(contents)), Buffer.alloc(1024)]));
  const content = Buffer.concat([...members, footer(contentsOffset)]);
  const annotations = { "containerd.io/snapshot/stargz/toc.digest": digestOf(contents) };
  return { content, tar: Buffer.concat(tars), annotations };
}

/** Where the table of contents begins, from the footer's bytes. */
export function contentsOffsetOf(footerBytes: Uint8Array): number {
  const match = /^[0-9a-f]{16}(?=STARGZ)/.exec(Buffer.from(footerBytes).subarray(footerPayload).toString("latin1"));
  if (match === null) throw new Error("the layer has no eStargz footer");
  return Number.parseInt(match[0], 16);
}

/** A file's header and content, without the end of the archive. */
async function tarEntry(name: string, bytes: Uint8Array): Promise<Uint8Array> {
  const archive = await new Bun.Archive({ [name]: bytes }).bytes();
  return archive.subarray(0, 512 + Math.ceil(bytes.length / 512) * 512);
}

function footer(contentsOffset: number): Uint8Array {
  const payload = Buffer.from(`${contentsOffset.toString(16).padStart(16, "0")}STARGZ`, "latin1");
  const header = Buffer.from([0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 26, 0, 0x53, 0x47, 22, 0]);
  const emptyBlockAndTrailer = Buffer.from([1, 0, 0, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0]);
  return Buffer.concat([header, payload, emptyBlockAndTrailer]);
}
