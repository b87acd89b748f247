import { LRUCache } from "lru-cache";
import { clientNetwork, isLoopback } from "./client-network.ts";

/** The window that requests are counted in, in ms. [Container Registry, "Quotas and limits"] */
export const quotaWindow = 10 * 60_000;

interface Count {
  since: number;
  requests: number;
}

/** How many requests a client may send: so many in ten minutes from one address, as Container Registry had it. */
export class RequestQuota {
  readonly #limit: number;
  readonly #now: () => number;
  readonly #counts = new LRUCache<string, Count>({ max: 100_000 });

  /** @param limit requests in a window; 0: none are counted */
  constructor(limit: number, now: () => number) {
    this.#limit = limit;
    this.#now = now;
  }

  /** Counts a request; answers the seconds until the next one is taken, or 0 if this one is. */
  take(address: string): number {
    // The machine itself is not counted, nor who has no address.
    if (this.#limit === 0 || address === "" || isLoopback(address)) return 0;
    const client = clientNetwork(address);
    const now = this.#now();
    let count = this.#counts.get(client);
    if (count === undefined || now - count.since >= quotaWindow) {
      count = { since: now, requests: 0 };
      this.#counts.set(client, count);
    }
    count.requests++;
    return count.requests <= this.#limit ? 0 : Math.ceil((count.since + quotaWindow - now) / 1000);
  }
}
