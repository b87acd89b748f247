import * as fs from "node:fs/promises";

/**
 * Makes the entries of directories survive a power cut. Who asks while a directory is being synced shares the next
 * sync of it with all others who asked meanwhile: a burst of uploads costs two, not one each.
 */
export class DirectorySyncs {
  readonly #running = new Map<string, Promise<void>>();
  readonly #next = new Map<string, Promise<void>>();

  /** Resolves when every entry that is there now is durable. @throws the error of the sync */
  sync(path: string): Promise<void> {
    const running = this.#running.get(path);
    if (running === undefined) return this.#begin(path);
    let next = this.#next.get(path);
    if (next === undefined) {
      const begin = (): Promise<void> => {
        this.#next.delete(path);
        return this.#begin(path);
      };
      next = running.then(begin, begin);
      this.#next.set(path, next);
    }
    return next;
  }

  #begin(path: string): Promise<void> {
    const sync = syncDirectory(path).finally(() => {
      if (this.#running.get(path) === sync) this.#running.delete(path);
    });
    this.#running.set(path, sync);
    return sync;
  }
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await fs.open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
