import { type Digest, parseDigest } from "../names/digest.ts";
import {
  type BlobBody,
  type BlobStore,
  type ByteRange,
  MissingBytesError,
  type StagedWriter,
  type StagingKey,
  type StorageKey,
} from "./blob-store.ts";
import type { ObjectWriter, Objects } from "./objects.ts";
import { streamOf } from "./streams.ts";

const minute = 60_000;
/** How often a segment that is still being written says so; a sweep counts in hours. */
const heartbeat = 10 * minute;
const mebibyte = 2 ** 20;

/**
 * Blobs in an object store:
 *
 *     bytes/KEY             the bytes, of a segment first, then of the blob that it became; never copied or renamed
 *     staging/KEY           empty: bytes/KEY is, or is to be, a segment
 *     index/KEY.DIGEST      empty: bytes/KEY is the blob DIGEST
 *     check                 what `check` writes and reads
 *
 * `staging` is written before the bytes and taken away after them, so that what a crash leaves behind is found; what
 * has an `index` entry is never taken for a segment, even if a late request brings its `staging` entry back.
 */
export class ObjectStore implements BlobStore {
  readonly name: string;
  readonly #objects: Objects;

  constructor(name: string, objects: Objects) {
    this.name = name;
    this.#objects = objects;
  }

  stage(name: string): Promise<StagedWriter> {
    const key = `${name}.${crypto.randomUUID()}` as StagingKey;
    return Promise.resolve(new SegmentWriter(key, this.#objects, () => this.removeStaged(key)));
  }

  async *readStaged(key: StagingKey): AsyncIterable<Uint8Array> {
    yield* await this.#objects.get(`bytes/${key}`, undefined);
  }

  async removeStaged(key: StagingKey): Promise<void> {
    if ((await this.#digestOf(key)) === undefined) {
      await this.#objects.abortUnfinished(`bytes/${key}`);
      await this.#objects.delete(`bytes/${key}`);
    }
    await this.#objects.delete(`staging/${key}`);
  }

  async *listStaged(): AsyncIterable<{ key: StagingKey; changedAt: number }> {
    for await (const { key, changedAt } of this.#objects.list("staging/")) {
      yield { key: key.slice("staging/".length) as StagingKey, changedAt };
    }
  }

  async adopt(key: StagingKey, digest: Digest): Promise<StorageKey> {
    if (!(await this.#objects.exists(`bytes/${key}`))) throw new MissingBytesError(`no bytes under ${key}`);
    await this.#objects.put(indexOf(key, digest), new Uint8Array());
    return key as string as StorageKey;
  }

  async read(key: StorageKey, range: ByteRange | undefined): Promise<BlobBody> {
    return { kind: "stream", stream: streamOf(await this.#objects.get(`bytes/${key}`, range)) };
  }

  async readSmall(key: StorageKey): Promise<Uint8Array> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of await this.#objects.get(`bytes/${key}`, undefined)) chunks.push(chunk);
    return Buffer.concat(chunks);
  }

  /** The index entry last: as long as it is there, what is left can be found. */
  async remove(key: StorageKey): Promise<void> {
    const digest = await this.#digestOf(key);
    await this.#objects.delete(`bytes/${key}`);
    if (digest !== undefined) await this.#objects.delete(indexOf(key, digest));
  }

  async *list(): AsyncIterable<{ key: StorageKey; digest: Digest }> {
    for await (const { key } of this.#objects.list("index/")) {
      const entry = parseIndex(key);
      if (entry) yield entry;
    }
  }

  async check(): Promise<void> {
    // One for all, which stays: a store that is down is asked no more than it takes to know.
    await this.#objects.put("check", new Uint8Array([1]));
    for await (const _ of await this.#objects.get("check", undefined));
  }

  async #digestOf(key: string): Promise<Digest | undefined> {
    for await (const entry of this.#objects.list(`index/${key}.`)) return parseIndex(entry.key)?.digest;
    return undefined;
  }
}

const indexOf = (key: string, digest: Digest): string => `index/${key}.${digest.replace(":", "-")}`;

function parseIndex(path: string): { key: StorageKey; digest: Digest } | undefined {
  const dot = path.lastIndexOf(".");
  const digest = parseDigest(path.slice(dot + 1).replace("-", ":"));
  return digest && { key: path.slice("index/".length, dot) as StorageKey, digest };
}

/**
 * Bytes of part `index`, so that what an object store takes, 10,000 parts, holds 539 GiB while what is written to it
 * begins with small buffers: 8 MiB up to 8 GiB, 32 MiB up to 39 GiB, then 64 MiB.
 */
export function partSize(index: number): number {
  return (index < 1000 ? 8 : index < 2000 ? 32 : 64) * mebibyte;
}

/** The most parts that an object has. @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
export const maxParts = 10_000;

/**
 * A segment that goes to the store part by part: one part fills while the one before is on its way, so that a segment
 * holds two parts at most. One that fits in a part is put whole.
 */
class SegmentWriter implements StagedWriter {
  readonly key: StagingKey;
  readonly #objects: Objects;
  readonly #remove: () => Promise<void>;
  readonly #marked: Promise<void>;
  readonly #beats: Timer;
  #writer: ObjectWriter | undefined;
  #parts = 0;
  #filling: Buffer | undefined;
  #filled = 0;
  #sending: Promise<void> = Promise.resolve();

  constructor(key: StagingKey, objects: Objects, remove: () => Promise<void>) {
    this.key = key;
    this.#objects = objects;
    this.#remove = remove;
    this.#marked = this.#mark();
    this.#marked.catch(() => {});
    this.#beats = setInterval(() => void this.#mark().catch(() => {}), heartbeat);
  }

  #mark(): Promise<void> {
    return this.#objects.put(`staging/${this.key}`, new Uint8Array());
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let rest = bytes; rest.byteLength > 0;) {
      // A part is sent when a byte follows it: the last one is for `commit`.
      if (this.#filled === partSize(this.#parts)) await this.#send();
      const size = partSize(this.#parts);
      this.#filling ??= Buffer.allocUnsafe(this.#parts === 0 ? Math.min(size, mebibyte) : size);
      if (this.#filled === this.#filling.byteLength) this.#filling = grown(this.#filling, size);
      const taken = rest.subarray(0, this.#filling.byteLength - this.#filled);
      this.#filling.set(taken, this.#filled);
      this.#filled += taken.byteLength;
      rest = rest.subarray(taken.byteLength);
    }
  }

  /** Hands the filled part on, once the one before has arrived. */
  async #send(): Promise<void> {
    const part = this.#take();
    await this.#sending;
    if (this.#parts === maxParts) throw new Error(`More bytes than an object of the store holds: ${this.key}`);
    this.#parts++;
    await this.#marked;
    const writer = (this.#writer ??= await this.#objects.write(`bytes/${this.key}`));
    this.#sending = writer.part(part);
    // Whoever waits for it next is told.
    this.#sending.catch(() => {});
  }

  #take(): Uint8Array {
    const part = this.#filling?.subarray(0, this.#filled) ?? new Uint8Array();
    this.#filling = undefined;
    this.#filled = 0;
    return part;
  }

  async commit(): Promise<void> {
    if (this.#writer === undefined) {
      await this.#marked;
      await this.#objects.put(`bytes/${this.key}`, this.#take());
    } else {
      await this.#send();
      await this.#sending;
      await this.#writer.complete();
    }
    clearInterval(this.#beats);
  }

  async abort(): Promise<void> {
    clearInterval(this.#beats);
    await this.#sending.catch(() => {});
    await this.#writer?.abort().catch(() => {});
    await this.#marked.catch(() => {});
    await this.#remove();
  }
}

/** The first part grows as it fills: most blobs are far smaller than a part. */
function grown(buffer: Buffer, limit: number): Buffer {
  const larger = Buffer.allocUnsafe(Math.min(buffer.byteLength * 2, limit));
  larger.set(buffer);
  return larger;
}
