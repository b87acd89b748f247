import { LRUCache } from "lru-cache";
import { clientNetwork } from "../http/client-network.ts";

/** Failures of one name from one address, and of one address under all names, before it has to wait. */
export const failuresOfName = 10;
export const failuresOfAddress = 300;
/** The first wait, in ms; each further failure doubles it. */
const firstWait = 1000;
const longestWait = 15 * 60_000;
/** Failures are forgotten after so long a time without one. */
const forgottenAfter = 30 * 60_000;

/** Secrets of one client, and of all, that may wait to be looked at: each costs megabytes and milliseconds. */
export const longestLine = 20;
const mostWaiting = 200;

/** Failures of a second that others are told of at the most. */
const mostNews = 1000;

export type FailureList = [name: string, address: string][];

interface Line {
  length: number;
  last: Promise<void>;
}

interface Failures {
  count: number;
  lastAt: number;
  /** When the next attempt is looked at, in ms. */
  waitsUntil: number;
}

/**
 * Slows down who guesses secrets. A name is slowed down for the address that failed, not for others: nobody can lock
 * an owner out by failing in the owner's name from elsewhere.
 */
export class SignInThrottle {
  readonly #now: () => number;
  readonly #failures = new LRUCache<string, Failures>({ max: 50_000 });
  readonly #lines = new Map<string, Line>();
  #waiting = 0;
  /** Failures that other processes have not heard of. */
  #news: FailureList = [];

  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * Looks at a secret when its turn has come. Those of one client are looked at one after the other: as many at once as
   * one likes try no more of them.
   * @returns whether it is right, or in how many seconds it is looked at
   */
  async verify(
    name: string,
    address: string,
    check: () => Promise<boolean>,
  ): Promise<boolean | { retryAfter: number }> {
    const client = clientNetwork(address);
    const line = this.#lines.get(client) ?? { length: 0, last: Promise.resolve() };
    if (line.length >= longestLine || this.#waiting >= mostWaiting) return { retryAfter: 1 };
    const turn = Promise.withResolvers<void>();
    const before = line.last;
    line.last = turn.promise;
    line.length++;
    this.#waiting++;
    this.#lines.set(client, line);
    try {
      await before;
      const retryAfter = this.wait(name, address);
      if (retryAfter > 0) return { retryAfter };
      const isRight = await check();
      if (isRight) this.succeeded(name, address);
      else this.failed(name, address);
      return isRight;
    } finally {
      turn.resolve();
      this.#waiting--;
      if (--line.length === 0) this.#lines.delete(client);
    }
  }

  /** How many seconds to wait before the next attempt; 0 if it may be made now. */
  wait(name: string, address: string): number {
    const keys = [nameKey(name, address), clientNetwork(address)];
    const until = Math.max(...keys.map((key) => this.#failures.get(key)?.waitsUntil ?? 0));
    return Math.max(0, Math.ceil((until - this.#now()) / 1000));
  }

  failed(name: string, address: string): void {
    if (this.#news.length < mostNews) this.#news.push([name, address]);
    this.hear([[name, address]]);
  }

  /** What has failed since the last time, for the other processes on this port. */
  takeNews(): FailureList {
    const news = this.#news;
    if (news.length > 0) this.#news = [];
    return news;
  }

  /** Counts what has failed, here or in another process. */
  hear(failures: FailureList): void {
    for (const [name, address] of failures) this.#failedOnce(name, address);
  }

  #failedOnce(name: string, address: string): void {
    this.#count(nameKey(name, address), failuresOfName);
    this.#count(clientNetwork(address), failuresOfAddress);
  }

  /** The name is known at this address; what others fail at there goes on counting. */
  succeeded(name: string, address: string): void {
    this.#failures.delete(nameKey(name, address));
  }

  #count(key: string, free: number): void {
    const now = this.#now();
    const before = this.#failures.get(key);
    const count = before === undefined || now - before.lastAt > forgottenAfter ? 1 : before.count + 1;
    const wait = count < free ? 0 : Math.min(firstWait * 2 ** (count - free), longestWait);
    this.#failures.set(key, { count, lastAt: now, waitsUntil: now + wait });
  }
}

function nameKey(name: string, address: string): string {
  return `${clientNetwork(address)} ${name.slice(0, 320).toLowerCase()}`;
}
