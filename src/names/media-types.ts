/** Media types of manifests. [OCI image-spec; Docker "Image Manifest Version 2, Schema 2"] */
export const mediaTypes = {
  ociManifest: "application/vnd.oci.image.manifest.v1+json",
  ociIndex: "application/vnd.oci.image.index.v1+json",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerList: "application/vnd.docker.distribution.manifest.list.v2+json",
} as const;

export type ManifestMediaType = (typeof mediaTypes)[keyof typeof mediaTypes];

const manifestTypes = new Set<string>(Object.values(mediaTypes));

export function isManifestMediaType(type: string): type is ManifestMediaType {
  return manifestTypes.has(type);
}

export function isIndexMediaType(type: string): boolean {
  return type === mediaTypes.ociIndex || type === mediaTypes.dockerList;
}

/** Docker's first image format, `application/vnd.docker.distribution.manifest.v1+json` and its signed form. */
export function isSchema1MediaType(type: string): boolean {
  return /^application\/vnd\.docker\.distribution\.manifest\.v1\+(json|prettyjws)$/.test(type);
}

const nonDistributable = new Set([
  "application/vnd.oci.image.layer.nondistributable.v1.tar",
  "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
  "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
  "application/vnd.docker.image.rootfs.foreign.diff.tar",
  "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
]);

/** Layers that stay at the place their `urls` name and need not be pushed. */
export function isNonDistributable(type: string): boolean {
  return nonDistributable.has(type);
}

/** A Content-Type without its parameters, in lower case. */
export function bareMediaType(header: string): string {
  const end = header.indexOf(";");
  return (end < 0 ? header : header.slice(0, end)).trim().toLowerCase();
}
