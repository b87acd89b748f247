import { LRUCache } from "lru-cache";

/**
 * Bytes that never change, by a name that is never used for others: manifests by digest, small blobs by storage key.
 * It is asked only for what the metadata has just said the caller's repository holds, so it can grant nothing.
 */
export class ContentCache {
  readonly #bytes: LRUCache<string, Uint8Array<ArrayBuffer>>;
  /** Blobs above this many bytes are sent from their files. */
  readonly maxBlob = 64 * 1024;

  constructor(maxSize: number) {
    this.#bytes = new LRUCache({
      maxSize,
      sizeCalculation: (bytes) => bytes.byteLength + 200,
      maxEntrySize: maxSize / 8,
    });
  }

  get(name: string): Uint8Array<ArrayBuffer> | undefined {
    return this.#bytes.get(name);
  }

  set(name: string, bytes: Uint8Array<ArrayBuffer>): void {
    this.#bytes.set(name, bytes);
  }
}
