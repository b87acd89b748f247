import type { Database } from "./database.ts";
import { all, run, type Steps } from "./statement.ts";

/** What a row of `versions` vouches for. */
export type VersionName = "access" | "identity" | "projects" | "keys";

/**
 * Tells caches when what they hold may have changed. Each commit anywhere moves the database's change count; only
 * then are the versions read, and only the caches of a version that moved are emptied. Whatever decides by caches (a
 * request, a step of a job) calls `refresh` once at its beginning, and so never decides on anything older than itself.
 */
export class Freshness {
  readonly #database: Database;
  readonly #listeners: [VersionName, () => void][] = [];
  readonly #versions = new Map<string, number>();
  #changeCount = -1;
  #looking: Promise<void> | undefined;

  constructor(database: Database) {
    this.#database = database;
  }

  /** `empty` is called when what `name` vouches for may have changed. */
  whenChanged(name: VersionName, empty: () => void): void {
    this.#listeners.push([name, empty]);
  }

  /**
   * Once in a turn of the event loop: the requests of one turn had all arrived when it began, so that what the first
   * of them sees is no older than any of them.
   */
  refresh(): Promise<void> {
    if (this.#looking === undefined) {
      this.#looking = this.#look();
      setImmediate(() => {
        this.#looking = undefined;
      });
    }
    return this.#looking;
  }

  async #look(): Promise<void> {
    const now = this.#database.changeCount();
    const count = typeof now === "number" ? now : await now;
    if (count === this.#changeCount) return;
    const rows = await this.#database.read(all<{ name: string; value: number }>("SELECT name, value FROM versions"));
    for (const { name, value } of rows) {
      if (this.#versions.get(name) === value) continue;
      this.#versions.set(name, value);
      for (const [listened, empty] of this.#listeners) if (listened === name) empty();
    }
    this.#changeCount = count;
  }
}

/** Part of every command that changes what caches hold. */
export function* bumpVersion(name: VersionName): Steps<void> {
  yield* run("UPDATE versions SET value = value + 1 WHERE name = ?", name);
}
