import type { ByteRange } from "./blob-store.ts";

/** An object that is written in parts, one after the other; visible only once it is complete. */
export interface ObjectWriter {
  /** Resolves when the store holds the part. All but the last have at least 5 MiB. */
  part(bytes: Uint8Array): Promise<void>;
  /** Resolves when the object is durable and visible. */
  complete(): Promise<void>;
  abort(): Promise<void>;
}

/**
 * What a blob store needs of an object store. What it says is retried where that is safe, and every operation here
 * may run twice: keys are never used for two contents.
 */
export interface Objects {
  /** Resolves when the object is durable and visible; the store has checked the bytes against a checksum. */
  put(key: string, bytes: Uint8Array): Promise<void>;
  write(key: string): Promise<ObjectWriter>;
  /** Aborts what was begun under the key and never completed. */
  abortUnfinished(key: string): Promise<void>;
  /** @throws MissingBytesError once it is called, not once it is read */
  get(key: string, range: ByteRange | undefined): Promise<AsyncGenerator<Uint8Array>>;
  exists(key: string): Promise<boolean>;
  /** Does nothing where there is none. */
  delete(key: string): Promise<void>;
  /** In the order of the keys; what was put before the call is there. `changedAt` in ms since the epoch. */
  list(prefix: string): AsyncIterable<{ key: string; changedAt: number }>;
}
