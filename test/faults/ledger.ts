import type { Content } from "./random.ts";

/** Something acknowledged is not so, or something is so that nobody asked for. */
export class LossError extends Error {
  override readonly name = "LossError";
}

/**
 * What is known of one thing in the registry: what was acknowledged last and, as long as the reply to a change is
 * missing, what that change would make of it. Either is right then, until somebody looks.
 */
export class Fact<T> {
  #values: T[];

  constructor(value: T) {
    this.#values = [value];
  }

  /** The one value; `undefined` while there is doubt. */
  get certain(): T | undefined {
    return this.#values.length === 1 ? this.#values[0] : undefined;
  }

  /** A request is on its way that will make it `value`. */
  doubt(value: T): void {
    this.#values = [...this.#values.filter((each) => each !== value), value];
  }

  /** The last request was acknowledged. */
  settle(): void {
    this.#values = this.#values.slice(-1);
  }

  /** @returns whether there was doubt. @throws LossError unless `value` is one of the right ones */
  observe(value: T, what: string): boolean {
    if (!this.#values.includes(value))
      throw new LossError(`${what} is ${String(value)}, acknowledged was ${this.#values.map(String).join(" or ")}`);
    const doubtful = this.#values.length > 1;
    this.#values = [value];
    return doubtful;
  }
}

export interface BlobEntry {
  content: Content;
  /** Whether it is readable in the repository. */
  present: Fact<boolean>;
}

export interface ManifestEntry {
  mediaType: string;
  size: number;
  /** Digests of the blobs that it needs. */
  blobs: string[];
  present: Fact<boolean>;
}

export interface UploadEntry {
  /** The last one that was received. */
  location: string;
  content: Content;
  /** Bytes that stand; `undefined` when it is over. */
  size: Fact<number | undefined>;
}

/** What the registry acknowledged about one repository. */
export class Ledger {
  readonly repository: string;
  readonly blobs = new Map<string, BlobEntry>();
  readonly manifests = new Map<string, ManifestEntry>();
  /** The digest of each tag. */
  readonly tags = new Map<string, Fact<string | undefined>>();
  readonly uploads = new Set<UploadEntry>();

  constructor(repository: string) {
    this.repository = repository;
  }

  blob(content: Content): BlobEntry {
    return upsert(this.blobs, content.digest, () => ({ content, present: new Fact(false) }));
  }

  tag(name: string): Fact<string | undefined> {
    return upsert(this.tags, name, () => new Fact<string | undefined>(undefined));
  }

  presentBlobs(): BlobEntry[] {
    return [...this.blobs.values()].filter(({ present }) => present.certain);
  }

  presentManifests(): [string, ManifestEntry][] {
    return [...this.manifests].filter(([, { present }]) => present.certain);
  }

  presentTags(): [string, string][] {
    return [...this.tags].flatMap(([name, { certain }]) => (certain === undefined ? [] : [[name, certain]]));
  }
}

export function upsert<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
