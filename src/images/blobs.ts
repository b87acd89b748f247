import { type Actor, recordChange } from "../access/audit/audit-log.ts";
import { type BlobBody, type ByteRange, MissingBytesError, type StorageKey } from "../blobs/blob-store.ts";
import { BerthError } from "../http/berth-error.ts";
import { command } from "../metadata/database.ts";
import { all, first, inList, run, type Steps } from "../metadata/statement.ts";
import { type Digest, digestAlgorithm, digestOf } from "../names/digest.ts";
import type { ResourceName } from "../names/resources.ts";
import {
  commandInput,
  ensureRepositoryId,
  ofRepository,
  type Repository,
  type RepositoryInput,
  requireRepositoryId,
} from "./repository.ts";

export interface StoredBlob {
  digest: Digest;
  size: number;
  key: StorageKey;
}

const columns = "b.id, b.digest, b.size, b.storage_key AS key";

type BlobRow = StoredBlob & { id: number };

/** The blob, if it is linked in this repository; whether it exists elsewhere is not told. */
export function findBlob({ database, registry, name }: Repository, digest: Digest): Promise<StoredBlob | undefined> {
  return database.readRow<BlobRow>(
    `SELECT ${columns} FROM blobs b WHERE store = ? AND digest = ? AND EXISTS (SELECT 1 FROM blob_links
       WHERE blob_id = b.id AND repository_id = (SELECT id FROM repositories WHERE registry_id = ? AND name = ?))`,
    registry.store,
    digest,
    registry.id,
    name,
  );
}

/** A blob's bytes: from memory where they are few and whole, else as its store hands them out. */
export async function openBlob(
  on: Pick<Repository, "store" | "cache">,
  blob: StoredBlob,
  range: ByteRange | undefined,
): Promise<BlobBody | { kind: "bytes"; bytes: Uint8Array<ArrayBuffer> }> {
  if (blob.size > on.cache.maxBlob) return on.store.read(blob.key, range);
  const bytes = await readBlob(on, blob);
  return { kind: "bytes", bytes: range === undefined ? bytes : bytes.subarray(range.first, range.last + 1) };
}

/** All of a blob that is known not to be large; small ones stay in memory. @throws MissingBytesError */
export async function readBlob(
  { store, cache }: Pick<Repository, "store" | "cache">,
  { key, digest, size }: StoredBlob,
): Promise<Uint8Array<ArrayBuffer>> {
  const name = `${store.name}/${key}`;
  const known = cache.get(name);
  if (known !== undefined) return known;
  const bytes = new Uint8Array(await store.readSmall(key));
  // What is kept in memory would be wrong for long.
  if (digestOf(bytes, digestAlgorithm(digest)) !== digest) {
    throw new MissingBytesError(`the bytes under ${key} are not ${digest}`);
  }
  if (size <= cache.maxBlob) cache.set(name, bytes);
  return bytes;
}

/**
 * In which other repositories of the registry a caller may read, so that what is linked there can be linked here:
 * in none, in all, or in these.
 */
export type Elsewhere = "none" | "registry" | readonly string[];

/** The id of a blob that is linked in another repository of the registry where the caller may read. */
export function* findElsewhere(
  input: RepositoryInput,
  digest: string,
  elsewhere: Elsewhere,
): Steps<BlobRow | undefined> {
  if (elsewhere === "none" || elsewhere.length === 0) return undefined;
  const blob = `SELECT ${columns} FROM blobs b JOIN blob_links l ON l.blob_id = b.id`;
  if (elsewhere === "registry") {
    return yield* first<BlobRow>(
      `${blob} WHERE b.store = ? AND b.digest = ? AND l.registry_id = ? LIMIT 1`,
      input.store,
      digest,
      input.registryId,
    );
  }
  const names = inList(elsewhere as readonly string[]);
  return yield* first<BlobRow>(
    `${blob} JOIN repositories r ON r.id = l.repository_id
     WHERE b.store = ? AND b.digest = ? AND r.registry_id = ? AND r.name IN (${names.marks}) LIMIT 1`,
    input.store,
    digest,
    input.registryId,
    ...names.padded,
  );
}

/** Links a blob in a repository; manifests that were pushed before it, and name it, hold it from now on. */
export function* linkBlob(input: RepositoryInput, repositoryId: number, blobId: number, digest: string): Steps<void> {
  const made = yield* first(
    `INSERT INTO blob_links (repository_id, blob_id, registry_id, created_at) VALUES (?, ?, ?, ?)
     ON CONFLICT (repository_id, blob_id) DO NOTHING RETURNING blob_id`,
    repositoryId,
    blobId,
    input.registryId,
    input.now,
  );
  if (made === undefined) return;
  const waiting = yield* all<{ parent_id: number }>(
    "SELECT parent_id FROM manifest_children WHERE repository_id = ? AND digest = ?",
    repositoryId,
    digest,
  );
  for (const { parent_id } of waiting) yield* referBlobs(parent_id, repositoryId, [blobId]);
}

/** Notes that a manifest needs blobs, which keeps the links as long as the manifest is there. */
export function* referBlobs(manifestId: number, repositoryId: number, blobIds: readonly number[]): Steps<void> {
  if (blobIds.length === 0) return;
  yield* run(
    `INSERT INTO manifest_blobs (manifest_id, repository_id, blob_id) VALUES ${blobIds.map(() => "(?, ?, ?)").join(", ")}
     ON CONFLICT (manifest_id, blob_id) DO NOTHING`,
    ...blobIds.flatMap((blobId) => [manifestId, repositoryId, blobId]),
  );
}

type MountInput = RepositoryInput & { digest: string; from: { registryId: number; elsewhere: Elsewhere } };

/** Links a blob that another repository holds. Answers whether it was there. */
export const mountBlob = command(
  "images.mountBlob",
  function* (input: MountInput) {
    const source = { ...input, registryId: input.from.registryId };
    const blob = yield* findElsewhere(source, input.digest, input.from.elsewhere);
    if (blob === undefined) return false;
    const repositoryId = yield* ensureRepositoryId(input);
    yield* linkBlob(input, repositoryId, blob.id, input.digest);
    yield* recordBlob(input.actor, input.resource, "mounted", input.digest, input.now);
    return true;
  },
  ofRepository,
);

type UnlinkInput = RepositoryInput & { digest: string };

/** Takes a blob out of a repository, unless one of its manifests needs it. */
export const unlinkBlob = command(
  "images.unlinkBlob",
  function* (input: UnlinkInput) {
    const repositoryId = yield* requireRepositoryId(input.registryId, input.name);
    const blob = yield* first<{ id: number }>(
      `SELECT b.id FROM blobs b JOIN blob_links l ON l.blob_id = b.id AND l.repository_id = ?
     WHERE b.store = ? AND b.digest = ?`,
      repositoryId,
      input.store,
      input.digest,
    );
    if (blob === undefined) throw new BerthError("BLOB_UNKNOWN");
    const user = yield* first<{ digest: string }>(
      `SELECT m.digest FROM manifest_blobs mb JOIN manifests m ON m.id = mb.manifest_id
     WHERE mb.repository_id = ? AND mb.blob_id = ? LIMIT 1`,
      repositoryId,
      blob.id,
    );
    if (user !== undefined) {
      throw new BerthError("BLOB_REFERENCED", `The blob is used by the manifest ${user.digest}; delete that first.`);
    }
    yield* run("DELETE FROM blob_links WHERE repository_id = ? AND blob_id = ?", repositoryId, blob.id);
    yield* recordBlob(input.actor, input.resource, "deleted", input.digest, input.now);
  },
  ofRepository,
);

export async function deleteBlob(repository: Repository, digest: Digest): Promise<void> {
  await repository.database.write(unlinkBlob, { ...commandInput(repository), digest });
}

export function* recordBlob(
  actor: Actor,
  resource: ResourceName,
  what: string,
  digest: string,
  at: number,
): Steps<void> {
  yield* recordChange(actor, resource, { blob: digest, change: what }, at);
}
