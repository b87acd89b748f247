import { createCipheriv, createHash } from "node:crypto";

/** Random choices that a seed brings back. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** From 0 up to, without, 1. (Mulberry32) */
  fraction(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number from `least` to `most`, both included. */
  between(least: number, most: number): number {
    return least + Math.floor(this.fraction() * (most - least + 1));
  }

  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  pick<T>(list: readonly [T, ...T[]]): T;
  pick<T>(list: readonly T[]): T | undefined;
  pick<T>(list: readonly T[]): T | undefined {
    return list[this.between(0, list.length - 1)];
  }

  /** Another source of choices, for work that goes on beside this one's. */
  fork(): Random {
    return new Random(this.between(0, 2 ** 32 - 1));
  }

  /** Sizes as layers have them: most are small, some are not. */
  size(most: number): number {
    return Math.max(1, Math.floor(most ** this.fraction()));
  }
}

/** The seed of a run, printed so that `BERTH_FAULTS_SEED=N` brings its choices back. */
export function announcedSeed(suite: string): number {
  const seed = Number(process.env.BERTH_FAULTS_SEED ?? Date.now() % 2 ** 32);
  console.log(`${suite}: BERTH_FAULTS_SEED=${seed}`);
  return seed;
}

/** A whole number from the environment: how long a run is to be. */
export function countFrom(variable: string, otherwise: number): number {
  const count = Number(process.env[variable] ?? otherwise);
  if (!Number.isSafeInteger(count) || count < 1)
    throw new Error(`${variable} is not a number: ${process.env[variable]}`);
  return count;
}

/** Bytes that a seed brings back, so that nobody need keep them. */
export interface Content {
  seed: number;
  size: number;
  digest: string;
}

export function contentBytes({ seed, size }: Pick<Content, "seed" | "size">): Buffer {
  const key = Buffer.alloc(16);
  key.writeUInt32LE(seed);
  return createCipheriv("aes-128-ctr", key, Buffer.alloc(16)).update(Buffer.alloc(size));
}

export function makeContent(random: Random, size: number): Content {
  const seed = random.between(0, 2 ** 32 - 1);
  const digest = createHash("sha256").update(contentBytes({ seed, size })).digest("hex");
  return { seed, size, digest: `sha256:${digest}` };
}
