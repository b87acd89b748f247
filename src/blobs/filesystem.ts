import * as fs from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { type Digest, parseDigest } from "../names/digest.ts";
import { DirectorySyncs } from "./directory-syncs.ts";
import { streamOf } from "./streams.ts";
import { WriteQueue } from "./write-queue.ts";
import {
  type BlobBody,
  type BlobStore,
  type ByteRange,
  MissingBytesError,
  type StagedWriter,
  type StagingKey,
  type StorageKey,
} from "./blob-store.ts";

/**
 * Blobs as files below one directory, all on one volume:
 *
 *     staging/NAME.RANDOM                                bytes on their way in
 *     blobs/sha256/ab/sha256-ab…64.NAME.RANDOM           a blob; the path below blobs/ is its storage key
 *
 * A blob is a hard link to its segment: linking it again finds itself, so a crash between any two steps leaves
 * either the segment or the blob or both, never half of one.
 */
export class FilesystemStore implements BlobStore {
  readonly name: string;
  readonly #staging: string;
  readonly #blobs: string;
  readonly #transfer: "file" | "stream";
  readonly #known = new Set<string>();
  readonly #syncs = new DirectorySyncs();

  private constructor(name: string, directory: string, transfer: "file" | "stream") {
    this.name = name;
    this.#transfer = transfer;
    this.#staging = join(directory, "staging");
    this.#blobs = join(directory, "blobs");
  }

  /** @param transfer how bodies are handed out; `stream` is for volumes whose files the kernel cannot send */
  static async open(name: string, directory: string, transfer: "file" | "stream"): Promise<FilesystemStore> {
    const store = new FilesystemStore(name, directory, transfer);
    await store.#ensureDirectory(store.#staging);
    await store.#ensureDirectory(store.#blobs);
    await store.#syncs.sync(dirname(directory));
    return store;
  }

  async stage(name: string): Promise<StagedWriter> {
    const key = `${name}.${crypto.randomUUID()}` as StagingKey;
    const path = join(this.#staging, key);
    const file = await fs.open(path, "wx", 0o600);
    const queue = new WriteQueue(file);
    let open = true;
    const close = async (): Promise<void> => {
      if (!open) return;
      open = false;
      await file.close();
    };
    return {
      key,
      write: (bytes) => queue.write(bytes),
      commit: async () => {
        await queue.drain();
        await file.datasync();
        await close();
        await this.#syncs.sync(this.#staging);
      },
      async abort() {
        await queue.drain().catch(() => {});
        await close();
        await fs.rm(path, { force: true });
      },
    };
  }

  async *readStaged(key: StagingKey): AsyncIterable<Uint8Array> {
    yield* chunks(join(this.#staging, key), undefined);
  }

  async removeStaged(key: StagingKey): Promise<void> {
    await fs.rm(join(this.#staging, key), { force: true });
  }

  async *listStaged(): AsyncIterable<{ key: StagingKey; changedAt: number }> {
    for await (const entry of await fs.opendir(this.#staging)) {
      const stat = await fs.stat(join(this.#staging, entry.name)).catch(absent);
      if (stat) yield { key: entry.name as StagingKey, changedAt: stat.mtimeMs };
    }
  }

  async adopt(key: StagingKey, digest: Digest): Promise<StorageKey> {
    const storageKey = storageKeyOf(digest, key);
    const path = join(this.#blobs, storageKey);
    const directory = dirname(path);
    await this.#ensureDirectory(directory);
    try {
      await fs.link(join(this.#staging, key), path);
    } catch (error) {
      if (codeOf(error) !== "EEXIST") throw codeOf(error) === "ENOENT" ? missing(key, error) : error;
    }
    await this.#syncs.sync(directory);
    return storageKey;
  }

  async read(key: StorageKey, range: ByteRange | undefined): Promise<BlobBody> {
    const path = join(this.#blobs, key);
    // Once the response has begun, a file that is missing would become Bun's own error page or a broken connection.
    await fs.access(path).catch((error: unknown) => Promise.reject(missing(key, error)));
    return this.#transfer === "stream"
      ? { kind: "stream", stream: streamOf(chunks(path, range)) }
      : { kind: "file", path };
  }

  async readSmall(key: StorageKey): Promise<Uint8Array> {
    return fs.readFile(join(this.#blobs, key)).catch((error: unknown) => Promise.reject(missing(key, error)));
  }

  async remove(key: StorageKey): Promise<void> {
    await fs.rm(join(this.#blobs, key), { force: true });
  }

  async *list(): AsyncIterable<{ key: StorageKey; digest: Digest }> {
    for (const algorithm of await fs.readdir(this.#blobs)) {
      for (const shard of await fs.readdir(join(this.#blobs, algorithm))) {
        for await (const entry of await fs.opendir(join(this.#blobs, algorithm, shard))) {
          const digest = parseDigest(entry.name.slice(0, entry.name.indexOf(".")).replace("-", ":"));
          if (digest) yield { key: join(algorithm, shard, entry.name) as StorageKey, digest };
        }
      }
    }
  }

  async check(): Promise<void> {
    const writer = await this.stage("check");
    try {
      await writer.write(new Uint8Array([1]));
      await writer.commit();
    } catch (error) {
      await writer.abort();
      throw error;
    }
    try {
      await fs.readFile(join(this.#staging, writer.key));
    } finally {
      await this.removeStaged(writer.key);
    }
  }

  async #ensureDirectory(path: string): Promise<void> {
    if (this.#known.has(path)) return;
    await fs.mkdir(path, { recursive: true, mode: 0o700 });
    await this.#syncs.sync(dirname(path));
    await this.#syncs.sync(dirname(dirname(path)));
    this.#known.add(path);
  }
}

function storageKeyOf(digest: Digest, key: StagingKey): StorageKey {
  const [algorithm, hex] = digest.split(":") as [string, string];
  return `${algorithm}/${hex.slice(0, 2)}/${algorithm}-${hex}.${basename(key)}` as StorageKey;
}

const chunkSize = 1 << 18;

async function* chunks(path: string, range: ByteRange | undefined): AsyncGenerator<Uint8Array> {
  const file = await fs.open(path, "r").catch((error: unknown) => Promise.reject(missing(path, error)));
  try {
    const end = range === undefined ? Number.POSITIVE_INFINITY : range.last + 1;
    for (let position = range?.first ?? 0; position < end;) {
      const buffer = new Uint8Array(Math.min(chunkSize, end - position));
      const { bytesRead } = await file.read(buffer, 0, buffer.byteLength, position);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
      position += bytesRead;
    }
  } finally {
    await file.close();
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as { code?: string }).code;
}

function missing(key: string, cause: unknown): unknown {
  return codeOf(cause) === "ENOENT" ? new MissingBytesError(`no bytes under ${basename(key)}`, { cause }) : cause;
}

function absent(error: unknown): undefined {
  if (codeOf(error) !== "ENOENT") throw error;
}
