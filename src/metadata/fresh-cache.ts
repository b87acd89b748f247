import { LRUCache } from "lru-cache";
import type { Freshness, VersionName } from "./freshness.ts";

/**
 * What was read from the database, by key, kept until the version that vouches for it moves. What a read brings that
 * began before the version moved is handed out but not kept: it may be older than the move. Only what exists is kept:
 * strangers must not fill the cache.
 */
export class FreshCache<K extends string, V extends object> {
  readonly #kept: LRUCache<K, V>;
  #generation = 0;

  /** @param max entries; beyond them those go that were not used for longest */
  constructor(freshness: Freshness, version: VersionName, max = 20_000) {
    this.#kept = new LRUCache({ max });
    freshness.whenChanged(version, () => {
      this.#kept.clear();
      this.#generation++;
    });
  }

  get(key: K): V | undefined {
    return this.#kept.get(key);
  }

  /** What is kept, or what `read` finds. */
  async find<R extends V | undefined>(key: K, read: () => Promise<R>): Promise<V | R> {
    const kept = this.#kept.get(key);
    if (kept !== undefined) return kept;
    const generation = this.#generation;
    const found = await read();
    if (found !== undefined && generation === this.#generation) this.#kept.set(key, found);
    return found;
  }
}
