import type { StagingKey, StorageKey } from "../blobs/blob-store.ts";
import { BerthError } from "../http/berth-error.ts";
import { command } from "../metadata/database.ts";
import { all, first, run, type Steps } from "../metadata/statement.ts";
import type { Digest, DigestAlgorithm } from "../names/digest.ts";
import { linkBlob, recordBlob } from "./blobs.ts";
import { ensureRepositoryId, ofRepository, type RepositoryInput } from "./repository.ts";

/** An upload is its repository's and its principal's: for anyone else it does not exist. */
type UploadInput = RepositoryInput & { id: string; epoch: number };

export interface UploadState {
  id: string;
  size: number;
  algorithm: DigestAlgorithm;
  digest: Digest | null;
  segments: StagingKey[];
}

const owned = `id = ? AND principal = ? AND repository_id =
  (SELECT id FROM repositories WHERE registry_id = ? AND name = ?)`;

function ownership({ id, actor, registryId, name }: UploadInput): [string, string, number, string] {
  return [id, actor.principal, registryId, name];
}

export const startUpload = command(
  "images.startUpload",
  function* (input: RepositoryInput & { id: string; algorithm: DigestAlgorithm; limit: number }) {
    const open = yield* first<{ count: number }>(
      "SELECT count(*) AS count FROM uploads WHERE principal = ?",
      input.actor.principal,
    );
    if ((open?.count ?? 0) >= input.limit) throw new BerthError("TOOMANYREQUESTS", "Too many uploads are open.");
    const repositoryId = yield* ensureRepositoryId(input);
    yield* run(
      `INSERT INTO uploads (id, repository_id, principal, algorithm, epoch, size, digest, store, created_at, updated_at)
       VALUES (?, ?, ?, ?, 0, 0, NULL, ?, ?, ?)`,
      input.id,
      repositoryId,
      input.actor.principal,
      input.algorithm,
      input.store,
      input.now,
      input.now,
    );
  },
  ofRepository,
);

/** The upload, if its epoch is the one given. */
export function* readUpload(input: UploadInput): Steps<UploadState | undefined> {
  const row = yield* first<{ size: number; algorithm: DigestAlgorithm; digest: Digest | null }>(
    `SELECT size, algorithm, digest FROM uploads WHERE ${owned} AND epoch = ?`,
    ...ownership(input),
    input.epoch,
  );
  if (row === undefined) return undefined;
  return { id: input.id, ...row, segments: yield* segmentKeys(input.id) };
}

function* segmentKeys(id: string): Steps<StagingKey[]> {
  const rows = yield* all<{ staging_key: StagingKey }>(
    "SELECT staging_key FROM upload_segments WHERE upload_id = ? ORDER BY position",
    id,
  );
  return rows.map((row) => row.staging_key);
}

type SegmentInput = UploadInput & { stagingKey: string; size: number; offset: number; digest: string | null };

export const appendSegment = command(
  "images.appendSegment",
  function* (input: SegmentInput) {
    const moved = yield* first(
      `UPDATE uploads SET epoch = epoch + 1, size = size + ?, digest = ?, updated_at = ?
     WHERE ${owned} AND epoch = ? AND size = ? RETURNING id`,
      input.size,
      input.digest,
      input.now,
      ...ownership(input),
      input.epoch,
      input.offset,
    );
    if (moved === undefined) throw new BerthError("BLOB_UPLOAD_UNKNOWN");
    if (input.size === 0) return;
    yield* run(
      "INSERT INTO upload_segments (upload_id, position, staging_key, size) VALUES (?, ?, ?, ?)",
      input.id,
      input.offset,
      input.stagingKey,
      input.size,
    );
  },
  ofRepository,
);

/** Takes an upload over: any epoch that was ever given out will do. */
export const renewUpload = command(
  "images.renewUpload",
  function* (input: UploadInput) {
    const row = yield* first<{ epoch: number; size: number }>(
      `UPDATE uploads SET epoch = epoch + 1, updated_at = ? WHERE ${owned} AND epoch >= ? RETURNING epoch, size`,
      input.now,
      ...ownership(input),
      input.epoch,
    );
    if (row === undefined) throw new BerthError("BLOB_UPLOAD_UNKNOWN");
    return { id: input.id, epoch: row.epoch, size: row.size };
  },
  ofRepository,
);

/** Forgets an upload; answers the segments that nobody needs any more. */
export const cancelUpload = command(
  "images.cancelUpload",
  function* (input: UploadInput) {
    const known = yield* first(`SELECT id FROM uploads WHERE ${owned} AND epoch = ?`, ...ownership(input), input.epoch);
    if (known === undefined) throw new BerthError("BLOB_UPLOAD_UNKNOWN");
    const keys = yield* segmentKeys(input.id);
    yield* run("DELETE FROM uploads WHERE id = ?", input.id);
    return keys;
  },
  ofRepository,
);

type FinishInput = RepositoryInput & {
  id: string;
  /** `undefined`: a blob that came in one request, without an upload. */
  epoch: number | undefined;
  digest: string;
  size: number;
  storageKey: StorageKey;
};

/** Makes the bytes a blob of the repository. Answers the key that the digest's bytes are kept under. */
export const finishUpload = command(
  "images.finishUpload",
  function* (input: FinishInput) {
    const repositoryId = yield* ensureRepositoryId(input);
    if (input.epoch !== undefined) {
      const gone = yield* first(
        "DELETE FROM uploads WHERE id = ? AND repository_id = ? AND principal = ? AND epoch = ? RETURNING id",
        input.id,
        repositoryId,
        input.actor.principal,
        input.epoch,
      );
      if (gone === undefined) throw new BerthError("BLOB_UPLOAD_UNKNOWN");
    }
    yield* run(
      `INSERT INTO blobs (store, digest, size, storage_key, created_at) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (store, digest) DO NOTHING`,
      input.store,
      input.digest,
      input.size,
      input.storageKey,
      input.now,
    );
    const blob = (yield* first<{ id: number; storage_key: StorageKey }>(
      "SELECT id, storage_key FROM blobs WHERE store = ? AND digest = ?",
      input.store,
      input.digest,
    )) as { id: number; storage_key: StorageKey };
    yield* linkBlob(input, repositoryId, blob.id, input.digest);
    yield* recordBlob(input.actor, input.resource, "uploaded", input.digest, input.now);
    return blob.storage_key;
  },
  ofRepository,
);

/** Gives up uploads that nobody continued since `before`, at most `limit`; answers their segments by store. */
export const expireUploads = command("images.expireUploads", function* (input: { before: number; limit: number }) {
  const expired = yield* all<{ id: string; store: string }>(
    "SELECT id, store FROM uploads WHERE updated_at < ? ORDER BY updated_at LIMIT ?",
    input.before,
    input.limit,
  );
  const segments: { store: string; key: StagingKey }[] = [];
  for (const { id, store } of expired) {
    for (const key of yield* segmentKeys(id)) segments.push({ store, key });
    yield* run("DELETE FROM uploads WHERE id = ?", id);
  }
  return { count: expired.length, segments };
});
