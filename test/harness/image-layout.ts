import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** An OCI descriptor. [OCI image-spec, "Content Descriptors"] */
export interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
  annotations?: Record<string, string>;
  artifactType?: string;
  platform?: { os: string; architecture: string };
  urls?: string[];
}

/** A manifest or an index, as far as the tests look into one. */
export interface ManifestDocument {
  mediaType?: string;
  artifactType?: string;
  config?: Descriptor;
  layers?: Descriptor[];
  manifests?: Descriptor[];
  subject?: Descriptor;
  annotations?: Record<string, string>;
}

export const mediaTypes = {
  image: "application/vnd.oci.image.manifest.v1+json",
  index: "application/vnd.oci.image.index.v1+json",
  config: "application/vnd.oci.image.config.v1+json",
  tar: "application/vnd.oci.image.layer.v1.tar",
  gzip: "application/vnd.oci.image.layer.v1.tar+gzip",
  zstd: "application/vnd.oci.image.layer.v1.tar+zstd",
  dockerImage: "application/vnd.docker.distribution.manifest.v2+json",
  dockerList: "application/vnd.docker.distribution.manifest.list.v2+json",
  foreignLayer: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
} as const;

const refName = "org.opencontainers.image.ref.name";

export function sha256(content: Uint8Array | string): string {
  return createHash("sha256").update(content).digest("hex");
}

export function digestOf(content: Uint8Array | string): string {
  return `sha256:${sha256(content)}`;
}

/** A directory in the OCI image layout, the form in which images reach every client. */
export class ImageLayout {
  readonly path: string;
  readonly #index: Descriptor[] = [];

  constructor(path: string) {
    this.path = path;
    mkdirSync(join(path, "blobs/sha256"), { recursive: true });
    writeFileSync(join(path, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  }

  addBlob(content: Uint8Array | string, mediaType: string): Descriptor {
    const digest = digestOf(content);
    writeFileSync(blobPath(this.path, digest), content);
    return { mediaType, digest, size: Buffer.byteLength(content) };
  }

  /** Moves a file of known digest into the layout. */
  adoptFile(file: string, descriptor: Descriptor): Descriptor {
    renameSync(file, blobPath(this.path, descriptor.digest));
    return descriptor;
  }

  addDocument(document: object, mediaType: string): Descriptor {
    return this.addBlob(JSON.stringify({ schemaVersion: 2, mediaType, ...document }), mediaType);
  }

  /** An image of the given layers. @param diffIds digests of the layers before compression */
  addImage(layers: Descriptor[], diffIds: string[], architecture = "amd64"): Descriptor {
    const platform = { os: "linux", architecture };
    const rootfs = { type: "layers", diff_ids: diffIds };
    const content = JSON.stringify({
      created: "2024-05-06T07:08:09Z",
      ...platform,
      config: { Cmd: ["/hello"] },
      rootfs,
    });
    const config = this.addBlob(content, mediaTypes.config);
    return { ...this.addDocument({ config, layers }, mediaTypes.image), platform };
  }

  addIndex(manifests: Descriptor[]): Descriptor {
    return this.addDocument({ manifests }, mediaTypes.index);
  }

  tag(descriptor: Descriptor, name: string): void {
    this.#index.push({ ...descriptor, annotations: { ...descriptor.annotations, [refName]: name } });
    const index = { schemaVersion: 2, mediaType: mediaTypes.index, manifests: this.#index };
    writeFileSync(join(this.path, "index.json"), JSON.stringify(index));
  }
}

function blobPath(layout: string, digest: string): string {
  return join(layout, "blobs", digest.replace(":", "/"));
}

/** Reads a blob of a layout. @throws Error if its bytes are not those that the descriptor names */
export function readBlob(layout: string, { digest, size }: Descriptor): Buffer {
  const content = readFileSync(blobPath(layout, digest));
  if (content.length !== size || digestOf(content) !== digest)
    throw new Error(`blob ${digest} is damaged in ${layout}`);
  return content;
}

/** The only manifest of a layout, with every blob below it read and verified. */
export function readLayout(layout: string): { digest: string; document: ManifestDocument; blobs: Map<string, Buffer> } {
  const { manifests = [] } = JSON.parse(readFileSync(join(layout, "index.json"), "utf8")) as ManifestDocument;
  const [root] = manifests;
  if (root === undefined || manifests.length > 1) throw new Error(`${layout} holds ${manifests.length} manifests`);
  const blobs = new Map<string, Buffer>();
  const visit = (descriptor: Descriptor): ManifestDocument => {
    const content = readBlob(layout, descriptor);
    blobs.set(descriptor.digest, content);
    const document = JSON.parse(content.toString("utf8")) as ManifestDocument;
    for (const child of document.manifests ?? []) visit(child);
    for (const part of [document.config, ...(document.layers ?? [])]) {
      if (part !== undefined && part.urls === undefined) blobs.set(part.digest, readBlob(layout, part));
    }
    return document;
  };
  return { digest: root.digest, document: visit(root), blobs };
}
