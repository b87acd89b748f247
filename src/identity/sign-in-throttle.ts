import { LRUCache } from "lru-cache";
import { clientNetwork, siteOf } from "../http/client-network.ts";

/** Failures of one name from one address, and of one address under all names, before it has to wait. */
export const failuresOfName = 10;
export const failuresOfAddress = 300;
/** The same for an IPv6 site, which has 65,536 networks. */
const failuresOfSite = 4 * failuresOfAddress;
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

/** Who waits for the look at a secret, the first being looked at; each is told whether it is its turn or whether it goes. */
type Line = ((turn: "look" | "go") => void)[];

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
    const client = siteOf(address);
    const line = this.#lines.get(client) ?? [];
    if (line.length >= longestLine || (this.#waiting >= mostWaiting && !this.#makeRoom(line))) return { retryAfter: 1 };
    const { promise, resolve } = Promise.withResolvers<"look" | "go">();
    if (line.push(resolve) === 1) resolve("look");
    this.#waiting++;
    this.#lines.set(client, line);
    if ((await promise) === "go") return { retryAfter: 1 };
    try {
      const retryAfter = this.wait(name, address);
      if (retryAfter > 0) return { retryAfter };
      const isRight = await check();
      if (isRight) this.succeeded(name, address);
      else this.failed(name, address);
      return isRight;
    } finally {
      this.#waiting--;
      line.shift();
      if (line.length === 0) this.#lines.delete(client);
      else line[0]?.("look");
    }
  }

  /** Who comes last in the longest line goes, for one that would stand in a shorter. @returns whether there is room */
  #makeRoom(line: Line): boolean {
    let longest = line;
    for (const each of this.#lines.values()) if (each.length > longest.length) longest = each;
    if (longest.length <= line.length + 1) return false;
    longest.pop()?.("go");
    this.#waiting--;
    return true;
  }

  /** How many seconds to wait before the next attempt; 0 if it may be made now. */
  wait(name: string, address: string): number {
    const keys = [nameKey(name, address), clientNetwork(address), siteOf(address)];
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
    const site = siteOf(address);
    if (site !== clientNetwork(address)) this.#count(site, failuresOfSite);
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
