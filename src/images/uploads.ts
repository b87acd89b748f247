import type { StagedWriter, StagingKey } from "../blobs/blob-store.ts";
import { BerthError } from "../http/berth-error.ts";
import { MetadataUnavailableError } from "../metadata/database.ts";
import type { DigestAlgorithm } from "../names/digest.ts";
import { Digester, type Digest, digestAlgorithm } from "../names/digest.ts";
import type { Repository } from "./repository.ts";
import { commandInput } from "./repository.ts";
import {
  appendSegment,
  cancelUpload as cancelUploadCommand,
  finishUpload as finishUploadCommand,
  readUpload,
  renewUpload,
  startUpload as startUploadCommand,
  type UploadState,
} from "./upload-commands.ts";

/**
 * Uploads, told as pseudo-code. `epoch` fences: whoever commits moves it on, and a Location names the epoch that the
 * next request must find.
 *
 *     POST              row(epoch 0, size 0)
 *     PATCH at epoch e  segment := new staged bytes, fsynced            (no lock: any number may write at once)
 *                       commit if row.epoch = e and row.size = offset:  row.epoch += 1, row.size += length
 *                       else remove the segment, 404                    (someone else was first)
 *     GET at any e      row.epoch += 1                                  (fences whoever still writes; new Location)
 *     PUT at epoch e    as PATCH for a body, but not committed; then
 *                       one segment whose digest is known: it is the blob
 *                       else join all segments into one, hashing; digest must be the stated one
 *                       adopt (durable), then in one transaction:
 *                       delete row if row.epoch = e, else 404;  blob row unless the digest has one;  link
 *                       remove the segments
 *     DELETE            delete row, remove the segments
 *
 * A crash leaves rows with all their segments, or segments without a row, which the background process sweeps.
 */
export interface UploadHandle {
  id: string;
  epoch: number;
}

/** Bytes on their way in, how many there may be, and what is called whenever some arrived. */
export interface UploadBody {
  bytes: AsyncIterable<Uint8Array>;
  /** As Content-Length or Content-Range said. */
  announced: number | undefined;
  /** Where the bytes begin in the blob, where the client said so. */
  offset: number | undefined;
}

export async function startUpload(repository: Repository, algorithm: DigestAlgorithm): Promise<UploadHandle> {
  const id = crypto.randomUUID();
  const limit = repository.limits.openUploads;
  await repository.database.write(startUploadCommand, { ...commandInput(repository), id, algorithm, limit });
  return { id, epoch: 0 };
}

export interface UploadProgress extends UploadHandle {
  /** Bytes that stand so far. */
  size: number;
}

/** Adds bytes to an upload. @throws BerthError BLOB_UPLOAD_UNKNOWN, RANGE_INVALID, SIZE_INVALID, BLOB_TOO_LARGE */
export async function continueUpload(
  repository: Repository,
  handle: UploadHandle,
  body: UploadBody,
): Promise<UploadProgress> {
  const state = await requireUpload(repository, handle);
  checkOffset(state, body);
  const digester = new Digester(state.algorithm);
  const writer = await repository.store.stage(state.id);
  let size: number;
  try {
    size = await receive(
      writer,
      body,
      repository.limits.uploadSize - state.size,
      state.size === 0 ? digester : undefined,
    );
    await writer.commit();
  } catch (error) {
    await writer.abort();
    throw error;
  }
  const digest = state.size === 0 && size > 0 ? digester.finish() : null;
  try {
    const segment = { stagingKey: writer.key, size, digest, offset: state.size };
    await repository.database.write(appendSegment, { ...commandInput(repository), ...handle, ...segment });
  } catch (error) {
    // Where it is not known whether the segment counts, it stays: a sweep removes it if it does not.
    if (!(error instanceof MetadataUnavailableError)) await repository.store.removeStaged(writer.key);
    throw error;
  }
  if (size === 0) await repository.store.removeStaged(writer.key);
  return { id: handle.id, epoch: handle.epoch + 1, size: state.size + size };
}

/** The state of an upload, for whoever lost its last reply: takes the upload over from any request still running. */
export async function uploadStatus(repository: Repository, handle: UploadHandle): Promise<UploadProgress> {
  return repository.database.write(renewUpload, { ...commandInput(repository), ...handle });
}

export async function cancelUpload(repository: Repository, handle: UploadHandle): Promise<void> {
  const keys = await repository.database.write(cancelUploadCommand, { ...commandInput(repository), ...handle });
  await removeSegments(repository, keys);
}

/** Closes an upload: the bytes so far and those of `body` are the blob `digest`. */
export async function finishUpload(
  repository: Repository,
  handle: UploadHandle,
  digest: Digest,
  body: UploadBody | undefined,
): Promise<void> {
  const state = await requireUpload(repository, handle);
  if (body !== undefined) checkOffset(state, body);
  const segments: Segment[] = state.segments.map((key) => ({ key, size: 0, digest: state.digest }));
  const own: StagingKey[] = [];
  try {
    let size = state.size;
    if (body !== undefined) {
      const last = await stageSegment(repository, handle.id, body, digest, state.size);
      own.push(last.key);
      if (last.size > 0 || segments.length === 0) segments.push(last);
      size += last.size;
    }
    const whole = await joinSegments(repository, handle.id, segments, digest);
    if (!segments.some(({ key }) => key === whole.key)) own.push(whole.key);
    if (whole.digest !== digest) {
      await cancelUpload(repository, handle);
      throw digestMismatch(digest, whole.digest);
    }
    await commitBlob(repository, { handle, key: whole.key, digest, size });
  } catch (error) {
    await removeSegments(repository, own);
    throw error;
  }
  await removeSegments(repository, [...state.segments, ...own]);
}

/** A blob in one request. */
export async function uploadWhole(repository: Repository, digest: Digest, body: UploadBody): Promise<void> {
  const id = crypto.randomUUID();
  const segment = await stageSegment(repository, id, body, digest, 0);
  try {
    if (segment.digest !== digest) throw digestMismatch(digest, segment.digest);
    const handle = { id, epoch: undefined };
    await commitBlob(repository, { handle, key: segment.key, digest, size: segment.size });
  } finally {
    await repository.store.removeStaged(segment.key);
  }
}

interface Segment {
  key: StagingKey;
  size: number;
  /** Of this segment alone, where it is known. */
  digest: Digest | null;
}

async function requireUpload(repository: Repository, handle: UploadHandle): Promise<UploadState> {
  const state = await repository.database.read(readUpload({ ...commandInput(repository), ...handle }));
  if (state === undefined) throw new BerthError("BLOB_UPLOAD_UNKNOWN");
  return state;
}

function checkOffset(state: UploadState, { offset }: UploadBody): void {
  if (offset !== undefined && offset !== state.size) {
    throw new BerthError("RANGE_INVALID", `The bytes begin at ${offset}, but the upload has ${state.size} bytes.`, {
      headers: { range: rangeHeader(state.size) },
    });
  }
}

/** `0-LAST`, as uploads tell how far they are. */
export function rangeHeader(size: number): string {
  return `0-${Math.max(size - 1, 0)}`;
}

async function stageSegment(
  repository: Repository,
  id: string,
  body: UploadBody,
  digest: Digest,
  before: number,
): Promise<Segment> {
  const digester = new Digester(digestAlgorithm(digest));
  const writer = await repository.store.stage(id);
  try {
    const size = await receive(writer, body, repository.limits.uploadSize - before, digester);
    await writer.commit();
    return { key: writer.key, size, digest: digester.finish() };
  } catch (error) {
    await writer.abort();
    throw error;
  }
}

async function receive(
  writer: StagedWriter,
  { bytes, announced }: UploadBody,
  room: number,
  digester: Digester | undefined,
): Promise<number> {
  if (announced !== undefined && announced > room) throw new BerthError("BLOB_TOO_LARGE");
  let size = 0;
  for await (const chunk of bytes) {
    size += chunk.byteLength;
    if (size > room) throw new BerthError("BLOB_TOO_LARGE");
    const written = writer.write(chunk);
    digester?.update(chunk);
    await written;
  }
  if (announced !== undefined && size !== announced) {
    throw new BerthError("SIZE_INVALID", `${size} bytes arrived, ${announced} were announced.`);
  }
  return size;
}

/** One segment that is the whole: the only one as it is, or a new one that joins them, hashed on the way. */
async function joinSegments(repository: Repository, id: string, segments: Segment[], digest: Digest): Promise<Segment> {
  const [only] = segments;
  if (segments.length === 1 && only?.digest?.startsWith(digestAlgorithm(digest))) return only;
  const digester = new Digester(digestAlgorithm(digest));
  const joined = segments.length === 1 ? undefined : await repository.store.stage(id);
  try {
    for (const { key } of segments) {
      for await (const chunk of repository.store.readStaged(key)) {
        digester.update(chunk);
        await joined?.write(chunk);
      }
    }
    await joined?.commit();
  } catch (error) {
    await joined?.abort();
    throw error;
  }
  return { key: joined?.key ?? (only as Segment).key, size: 0, digest: digester.finish() };
}

async function commitBlob(
  repository: Repository,
  blob: { handle: { id: string; epoch: number | undefined }; key: StagingKey; digest: Digest; size: number },
): Promise<void> {
  const { handle, key, digest, size } = blob;
  const storageKey = await repository.store.adopt(key, digest);
  const input = { ...commandInput(repository), ...handle, digest, size, storageKey };
  const kept = await repository.database.write(finishUploadCommand, input);
  if (kept !== storageKey) await repository.store.remove(storageKey);
}

async function removeSegments({ store }: Repository, keys: readonly StagingKey[]): Promise<void> {
  await Promise.all(keys.map((key) => store.removeStaged(key)));
}

function digestMismatch(stated: Digest, found: Digest | null): BerthError {
  return new BerthError("DIGEST_INVALID", `The bytes have the digest ${found}, not ${stated}.`);
}
