import { LRUCache } from "lru-cache";
import { clientNetwork, isLoopback } from "./client-network.ts";

/** The window that requests are counted in, in ms. [Container Registry, "Quotas and limits"] */
export const quotaWindow = 10 * 60_000;

interface Count {
  since: number;
  requests: number;
}

/** Requests by client. */
export type RequestCounts = [client: string, requests: number][];

/** How many requests a client may send: so many in ten minutes from one address, as Container Registry had it. */
export class RequestQuota {
  readonly #limit: number;
  readonly #now: () => number;
  readonly #counts = new LRUCache<string, Count>({ max: 100_000 });
  /** Requests that other processes have not heard of. */
  #news = new Map<string, number>();

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
    this.#news.set(client, (this.#news.get(client) ?? 0) + 1);
    const count = this.#add(client, 1);
    return count.requests <= this.#limit ? 0 : Math.ceil((count.since + quotaWindow - this.#now()) / 1000);
  }

  /** What was counted since the last time, for the other processes on this port. */
  takeNews(): RequestCounts {
    const news = [...this.#news];
    if (news.length > 0) this.#news = new Map();
    return news;
  }

  /** Counts what another process has taken. */
  hear(counts: RequestCounts): void {
    for (const [client, requests] of counts) this.#add(client, requests);
  }

  #add(client: string, requests: number): Count {
    const now = this.#now();
    let count = this.#counts.get(client);
    if (count === undefined || now - count.since >= quotaWindow) {
      count = { since: now, requests: 0 };
      this.#counts.set(client, count);
    }
    count.requests += requests;
    return count;
  }
}
