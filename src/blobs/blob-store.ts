import type { Digest } from "../names/digest.ts";

/** Names bytes that are still on their way in. */
export type StagingKey = string & { readonly __stagingKey: unique symbol };
/** Names a blob's bytes in its store; unique per ingestion, never used again. */
export type StorageKey = string & { readonly __storageKey: unique symbol };

/** Bytes `first` to `last`, both included. */
export interface ByteRange {
  first: number;
  last: number;
}

/** How a store hands bytes out: a file of this machine, or a stream of exactly the bytes asked for. */
export type BlobBody = { kind: "file"; path: string } | { kind: "stream"; stream: ReadableStream<Uint8Array> };

/** Takes the bytes of one segment. `commit` or `abort` is called at its end, and `abort` after a `commit` that failed. */
export interface StagedWriter {
  readonly key: StagingKey;
  /** Resolves when the bytes are taken (back-pressure). */
  write(bytes: Uint8Array): Promise<void>;
  /** Resolves when the segment, its name included, survives a power cut. */
  commit(): Promise<void>;
  /** Removes what was written. */
  abort(): Promise<void>;
}

/**
 * Where the bytes of blobs live. A store knows no repositories, no rights and no references: what exists is decided
 * by the metadata alone.
 *
 * - `stage` opens a new segment; concurrent segments never meet, even under one `name`.
 * - `adopt` makes a committed segment a blob: durable, readable in whole from the moment it resolves. Repeating it
 *   gives the same key (a client's retry after a crash), and the segment can be read until `removeStaged`, which
 *   leaves the blob. The store keeps the digest, so that rows can be rebuilt from `list`.
 * - `read` of a key that is gone, and `readStaged` of a segment that is gone, throw MissingBytesError.
 * - `remove` and `removeStaged` of what is gone do nothing. A body being read while it is removed is read to its end.
 * - A full store throws an error whose `code` is ENOSPC or EDQUOT and keeps nothing of the segment claimed.
 */
export interface BlobStore {
  readonly name: string;
  stage(name: string): Promise<StagedWriter>;
  readStaged(key: StagingKey): AsyncIterable<Uint8Array>;
  removeStaged(key: StagingKey): Promise<void>;
  /** Segments in the store with the time of their last change, in ms since the epoch. */
  listStaged(): AsyncIterable<{ key: StagingKey; changedAt: number }>;
  adopt(key: StagingKey, digest: Digest): Promise<StorageKey>;
  read(key: StorageKey, range: ByteRange | undefined): Promise<BlobBody>;
  /** The whole of a small blob at once. */
  readSmall(key: StorageKey): Promise<Uint8Array>;
  remove(key: StorageKey): Promise<void>;
  list(): AsyncIterable<{ key: StorageKey; digest: Digest }>;
  /** Writes and reads a few bytes. @throws whatever keeps the store from answering */
  check(): Promise<void>;
}

/** The store does not answer, or says that it cannot now: trying again later may help. */
export class StoreUnavailableError extends Error {
  override readonly name = "StoreUnavailableError";
}

/** Bytes that the metadata counts on are not in the store. */
export class MissingBytesError extends Error {
  override readonly name = "MissingBytesError";
}
