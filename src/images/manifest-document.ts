import { z } from "zod";
import { BerthError } from "../http/berth-error.ts";
import { JsonError, parseStrictJson } from "../http/strict-json.ts";
import { type Digest, parseDigest } from "../names/digest.ts";
import {
  isIndexMediaType,
  isManifestMediaType,
  isNonDistributable,
  isSchema1MediaType,
  type ManifestMediaType,
  mediaTypes,
} from "../names/media-types.ts";
import { findFoldedKey } from "./folded-keys.ts";

/** [OCI image-spec, descriptor] */
export interface Descriptor {
  mediaType: string;
  digest: Digest;
  size: number;
}

/** What the registry needs to know of a manifest; the bytes themselves are kept as they came. */
export interface ManifestDocument {
  mediaType: ManifestMediaType;
  /** As referrers are listed: the manifest's own, else its config's media type; `null` for an index without one. */
  artifactType: string | null;
  annotations: Record<string, string> | null;
  subject: Digest | null;
  config: Descriptor | null;
  /** Layers that must be in the repository: all but those that stay elsewhere. */
  layers: Descriptor[];
  /** An index's entries. */
  children: Descriptor[];
  /** Compressed bytes of all layers; 0 for an index. */
  imageSize: number;
}

export const maxManifestDepth = 64;

const descriptor = z.object({
  mediaType: z.string().min(1).max(255),
  digest: z.string().transform((text, context) => {
    const digest = parseDigest(text);
    if (digest === undefined) context.addIssue({ code: "custom", message: "is not a sha256 or sha512 digest" });
    return digest as Digest;
  }),
  size: z.number().int().nonnegative(),
});

const common = {
  schemaVersion: z.literal(2),
  mediaType: z.string().optional(),
  artifactType: z.string().max(255).optional(),
  annotations: z.record(z.string(), z.string()).optional(),
  subject: descriptor.optional(),
};

const image = z.object({ ...common, config: descriptor, layers: z.array(descriptor) });
const index = z.object({ ...common, manifests: z.array(descriptor) });

/**
 * Reads a pushed manifest and refuses what would mean different things to different clients.
 * @param contentType without parameters; empty if the client named none
 * @throws BerthError MANIFEST_INVALID
 */
export function parseManifest(payload: Uint8Array, contentType: string): ManifestDocument {
  if (isSchema1MediaType(contentType)) throw schema1();
  const document = parseObject(payload);
  if (document.schemaVersion === 1) throw schema1();
  const mediaType = mediaTypeOf(document, contentType);
  const names = Object.keys(document);
  if (isIndexMediaType(mediaType)) {
    refuseKeys(names, ["config", "layers", "fsLayers"], mediaType);
    const { manifests, ...rest } = check(index, document);
    return { ...facts(rest, mediaType, undefined), config: null, layers: [], children: manifests, imageSize: 0 };
  }
  refuseKeys(names, ["manifests", "fsLayers"], mediaType);
  const { config, layers, ...rest } = check(image, document);
  return {
    ...facts(rest, mediaType, config.mediaType),
    config,
    layers: layers.filter((layer) => !isNonDistributable(layer.mediaType)),
    children: [],
    imageSize: sizeOf(layers),
  };
}

/** @throws BerthError MANIFEST_INVALID for a sum that nobody can count with: of foreign layers, whose sizes are only claims */
function sizeOf(layers: readonly { size: number }[]): number {
  const sum = layers.reduce((all, layer) => all + layer.size, 0);
  if (!Number.isSafeInteger(sum)) throw invalid("its layers have more than 2^53 bytes");
  return sum;
}

function parseObject(payload: Uint8Array): Record<string, unknown> {
  let value: unknown;
  try {
    value = parseStrictJson(payload, maxManifestDepth);
  } catch (error) {
    if (error instanceof JsonError) throw invalid(error.message);
    throw error;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalid("it is not a JSON object");
  const folded = findFoldedKey(value);
  if (folded !== undefined) {
    throw invalid(`its key ${JSON.stringify(folded.key).slice(0, 100)} is "${folded.field}" in another spelling`);
  }
  return value as Record<string, unknown>;
}

/** Content-Type and `mediaType` must agree; where only one of them speaks, that one counts. */
function mediaTypeOf(document: Record<string, unknown>, contentType: string): ManifestMediaType {
  const stated = document.mediaType;
  if (stated !== undefined && typeof stated !== "string") throw invalid("mediaType is not a string");
  if (stated !== undefined && contentType !== "" && stated.toLowerCase() !== contentType) {
    throw invalid(`its mediaType is ${JSON.stringify(stated)}, but the Content-Type is "${contentType}"`);
  }
  const guessed = "manifests" in document ? mediaTypes.ociIndex : mediaTypes.ociManifest;
  const type = contentType || stated || guessed;
  if (!isManifestMediaType(type)) throw invalid(`the media type "${type}" is not that of a manifest`);
  return type;
}

function refuseKeys(present: string[], foreign: string[], mediaType: string): void {
  const found = foreign.filter((key) => present.includes(key));
  if (found.length > 0) throw invalid(`a document of type "${mediaType}" has no ${found.join(" and no ")}`);
}

function check<T>(shape: z.ZodType<T>, document: unknown): T {
  const result = shape.safeParse(document);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw invalid(`${issue?.path.join(".") || "it"}: ${issue?.message ?? "has another form"}`);
}

function facts(document: z.infer<z.ZodObject<typeof common>>, mediaType: ManifestMediaType, configType?: string) {
  return {
    mediaType,
    artifactType: document.artifactType || configType || null,
    annotations: document.annotations ?? null,
    subject: document.subject?.digest ?? null,
  };
}

function invalid(reason: string): BerthError {
  return new BerthError("MANIFEST_INVALID", `The manifest is not valid: ${reason}.`);
}

function schema1(): BerthError {
  return invalid("Docker schema 1 is not supported; push the image again with a client that writes schema 2 or OCI");
}
