import { recordChange } from "../access/audit/audit-log.ts";
import { BerthError } from "../http/berth-error.ts";
import { command } from "../metadata/database.ts";
import { all, first, inList, run, type Steps } from "../metadata/statement.ts";
import { appendEvent } from "../operations/outbox.ts";
import { type Elsewhere, findElsewhere, linkBlob, referBlobs } from "./blobs.ts";
import type { ManifestDocument } from "./manifest-document.ts";
import { ensureRepositoryId, ofRepository, type RepositoryInput } from "./repository.ts";
import { moveTag } from "./tags.ts";

export type PutManifestInput = RepositoryInput & {
  digest: string;
  payload: Uint8Array;
  document: ManifestDocument;
  /** Of the config: when the image was made (ms; 0: not said) and `OS/ARCHITECTURE`. */
  imageCreatedAt: number;
  platform: string | null;
  tags: readonly string[];
  /** The tags among them that may be taken from another manifest. */
  movable: readonly string[];
  elsewhere: Elsewhere;
  /** Whether config and layers may be missing, as an index's entries always may. */
  allowMissingBlobs: boolean;
};

/**
 * Stores a manifest and points tags at it: blobs checked and linked, references, tags with their history, audit and
 * outbox, all or nothing. Putting it again changes nothing but the tags.
 */
export const putManifest = command(
  "images.putManifest",
  function* (input: PutManifestInput) {
    const repositoryId = yield* ensureRepositoryId(input);
    const blobs = yield* linkedBlobs(input, repositoryId);
    const manifestId = yield* storeManifest(input, repositoryId, blobs);
    for (const tag of input.tags) yield* moveTag(input, repositoryId, tag, manifestId, input.digest);
    yield* recordChange(input.actor, input.resource, { manifest: input.digest, tags: input.tags }, input.now);
  },
  ofRepository,
);

interface NeededBlobs {
  /** Each now linked here. */
  ids: number[];
  missing: string[];
}

/** The blobs that the manifest needs. @throws BerthError MANIFEST_BLOB_UNKNOWN */
function* linkedBlobs(input: PutManifestInput, repositoryId: number): Steps<NeededBlobs> {
  const { config, layers } = input.document;
  const needed = config === null ? layers : [config, ...layers];
  if (needed.length === 0) return { ids: [], missing: [] };
  const digests = [...new Set(needed.map(({ digest }) => digest))];
  const list = inList(digests);
  const rows = yield* all<{ id: number; digest: string; size: number }>(
    `SELECT id, digest, size FROM blobs b WHERE store = ? AND digest IN (${list.marks})
     AND EXISTS (SELECT 1 FROM blob_links WHERE repository_id = ? AND blob_id = b.id)`,
    input.store,
    ...list.padded,
    repositoryId,
  );
  const found = new Map(rows.map((row) => [row.digest, row]));
  const missing: string[] = [];
  for (const digest of digests) {
    if (found.has(digest)) continue;
    const blob = yield* findElsewhere(input, digest, input.elsewhere);
    if (blob === undefined) {
      missing.push(digest);
      continue;
    }
    yield* linkBlob(input, repositoryId, blob.id, digest);
    found.set(digest, { id: blob.id, digest, size: blob.size });
  }
  if (missing.length > 0 && !input.allowMissingBlobs) throw unknownBlobs(missing);
  for (const { digest, size } of needed) {
    const blob = found.get(digest);
    if (blob !== undefined && blob.size !== size) {
      throw new BerthError(
        "MANIFEST_INVALID",
        `The manifest is not valid: ${digest} has ${blob.size} bytes, not ${size}.`,
      );
    }
  }
  return { ids: [...found.values()].map(({ id }) => id), missing };
}

function unknownBlobs(digests: string[]): BerthError {
  const each = digests.map((digest) => ({
    message: `The blob ${digest} is not in the repository; push it first.`,
    detail: { digest },
  }));
  const [one, ...others] = each as [(typeof each)[0], ...typeof each];
  return new BerthError("MANIFEST_BLOB_UNKNOWN", one.message, { detail: one.detail, others });
}

function* storeManifest(input: PutManifestInput, repositoryId: number, blobs: NeededBlobs): Steps<number> {
  const { document, digest, now } = input;
  const made = yield* first<{ id: number }>(
    `INSERT INTO manifests (repository_id, digest, media_type, artifact_type, subject_digest, annotations, size,
       image_size, image_created_at, platform, pushed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (repository_id, digest) DO NOTHING RETURNING id`,
    repositoryId,
    digest,
    document.mediaType,
    document.artifactType,
    document.subject,
    document.annotations === null ? null : JSON.stringify(document.annotations),
    input.payload.byteLength,
    document.imageSize,
    input.imageCreatedAt,
    input.platform,
    now,
  );
  if (made === undefined) {
    const known = yield* first<{ id: number }>(
      "SELECT id FROM manifests WHERE repository_id = ? AND digest = ?",
      repositoryId,
      digest,
    );
    return (known as { id: number }).id;
  }
  yield* run("INSERT INTO manifest_payloads (manifest_id, payload) VALUES (?, ?)", made.id, input.payload);
  for (const some of chunksOf(blobs.ids, atOnce)) yield* referBlobs(made.id, repositoryId, some);
  const children = document.children.map((child) => child.digest);
  yield* storeChildren(input, repositoryId, made.id, new Set([...children, ...blobs.missing]));
  // Lists that were here before this child hold it from now on.
  yield* run(
    "UPDATE manifest_children SET child_id = ? WHERE repository_id = ? AND digest = ? AND child_id IS NULL",
    made.id,
    repositoryId,
    digest,
  );
  const repository = `${input.host}/${input.name}`;
  const { mediaType, subject } = document;
  const tagged = input.tags.length > 0;
  const event = { kind: "manifest.pushed", repository, digest, mediaType, subject, tagged } as const;
  yield* appendEvent(input.registryId, event, now);
  return made.id;
}

/**
 * An index's entries, and blobs that may be missing. One that is not in the repository is only noted: it gives no
 * right to anything. One that is a blob of the repository (a build cache lists its layers so) is held like any other.
 */
function* storeChildren(
  input: PutManifestInput,
  repositoryId: number,
  manifestId: number,
  digests: ReadonlySet<string>,
): Steps<void> {
  for (const some of chunksOf([...digests], atOnce)) {
    const list = inList(some);
    const known = yield* all<{ id: number; digest: string }>(
      `SELECT id, digest FROM manifests WHERE repository_id = ? AND digest IN (${list.marks})`,
      repositoryId,
      ...list.padded,
    );
    const ids = new Map(known.map(({ id, digest }) => [digest, id]));
    const rows = some.map(() => "(?, ?, ?, CAST(? AS BIGINT))").join(", ");
    yield* run(
      `INSERT INTO manifest_children (parent_id, repository_id, digest, child_id) VALUES ${rows}`,
      ...some.flatMap((digest) => [manifestId, repositoryId, digest, ids.get(digest) ?? null]),
    );
    const blobs = yield* all<{ id: number }>(
      `SELECT id FROM blobs b WHERE store = ? AND digest IN (${list.marks})
       AND EXISTS (SELECT 1 FROM blob_links WHERE repository_id = ? AND blob_id = b.id)`,
      input.store,
      ...list.padded,
      repositoryId,
    );
    yield* referBlobs(
      manifestId,
      repositoryId,
      blobs.map(({ id }) => id),
    );
  }
}

/** Rows of one statement: a manifest may name tens of thousands of others. */
const atOnce = 500;

function chunksOf<T>(list: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(list.length / size) }, (_, i) => list.slice(i * size, (i + 1) * size));
}
