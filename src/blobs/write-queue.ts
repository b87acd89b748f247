import type { FileHandle } from "node:fs/promises";

/** Bytes that may wait for the disk before their senders have to: shared by all files that are being written. */
const maxWaiting = 16 * 1024 * 1024;
/** What each file may have waiting, however many there are. */
const leastShare = 1024 * 1024;
/** Buffers that one system call takes (IOV_MAX is 1,024). */
const maxBuffers = 512;
/** Dirty bytes after which the system is told to begin writing, so that the last sync finds little left. */
const syncEach = 8 * 1024 * 1024;

let filesBehind = 0;

/**
 * Writes to a file one after the other, those that wait together in one call: a chunk from the network is a few
 * dozen KiB, and a call for each costs more than its bytes. Not Bun.file().writer(), which does not tell of a full disk.
 */
export class WriteQueue {
  readonly #file: FileHandle;
  #waiting: Uint8Array[] = [];
  #size = 0;
  #unsynced = 0;
  #running: Promise<void> | undefined;
  #syncing: Promise<void> = Promise.resolve();

  constructor(file: FileHandle) {
    this.#file = file;
  }

  /** Resolves at once while little waits, else when the disk has caught up. @throws the error of an earlier write */
  async write(bytes: Uint8Array): Promise<void> {
    this.#waiting.push(bytes);
    this.#size += bytes.byteLength;
    if (this.#running === undefined) {
      this.#running = this.#run();
      // Whoever writes next or drains is told; until then it must not count as unhandled.
      this.#running.catch(() => {});
    }
    if (this.#size > Math.max(maxWaiting / filesBehind, leastShare)) await this.#running;
  }

  /** Resolves when everything is written. @throws the error of a write */
  async drain(): Promise<void> {
    await this.#running;
    await this.#syncing;
  }

  async #run(): Promise<void> {
    filesBehind++;
    try {
      while (this.#waiting.length > 0) await this.#writeWaiting();
    } finally {
      filesBehind--;
    }
    this.#running = undefined;
  }

  async #writeWaiting(): Promise<void> {
    const batch = this.#waiting.splice(0, maxBuffers);
    const size = batch.reduce((sum, bytes) => sum + bytes.byteLength, 0);
    await this.#writeAll(batch, size);
    this.#size -= size;
    this.#unsynced += size;
    if (this.#unsynced < syncEach) return;
    this.#unsynced = 0;
    await this.#syncing;
    this.#syncing = this.#file.datasync();
    this.#syncing.catch(() => {});
  }

  async #writeAll(batch: Uint8Array[], size: number): Promise<void> {
    let { bytesWritten: done } = await this.#file.writev(batch);
    if (done === size) return;
    const rest = Buffer.concat(batch);
    while (done < size) done += (await this.#file.write(rest, done, size - done)).bytesWritten;
  }
}
