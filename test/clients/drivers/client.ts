import type { SampleImage } from "../../harness/sample-image.ts";
import type { Scratch } from "../../harness/scratch.ts";
import type { Site } from "../../harness/site.ts";

/** A container client, as far as every one of them can do the same. */
export interface Client {
  name: string;
  /** What the machine must have. */
  programs: readonly string[];
  /** Starts what the client needs, with nothing stored yet. */
  open(scratch: Scratch, options?: ClientOptions): Promise<ClientSession>;
}

export interface ClientOptions {
  /** Environment of whichever program of the client talks to the registry. */
  env?: Record<string, string>;
}

export interface ClientSession {
  login(site: Site): Promise<void>;
  /** Pushes the image; afterwards the client holds nothing of it. @param image full name with a tag */
  push(site: Site, sample: SampleImage, image: string): Promise<void>;
  /** Pulls the image and shows its files in a directory; afterwards the client holds nothing of it. */
  pull<T>(site: Site, image: string, inspect: (root: string) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}
