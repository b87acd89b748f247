import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { digestOf } from "../harness/image-layout.ts";
import { until } from "../harness/berth.ts";
import type { Pusher } from "../harness/pusher.ts";
import { type Ledger, LossError } from "./ledger.ts";

/** What was looked at. */
export interface Findings {
  manifests: number;
  tags: number;
  blobs: number;
  uploads: number;
  /** Requests without a reply, of which it is now known what became of them. */
  doubts: number;
}

/**
 * Pulls everything that the ledger knows of and compares: each manifest by tag and by digest, each blob byte for
 * byte by its digest, each upload by where it stands. What was in doubt is settled afterwards.
 * @throws LossError on the first thing that is not as it was acknowledged
 */
export async function verify({ pusher, ledger }: { pusher: Pusher; ledger: Ledger }): Promise<Findings> {
  const findings: Findings = { manifests: 0, tags: 0, blobs: 0, uploads: 0, doubts: 0 };
  const noted = (doubtful: boolean): void => {
    if (doubtful) findings.doubts++;
  };
  const closed: string[] = [];
  for (const upload of ledger.uploads) {
    const { digest } = upload.content;
    const progress = await pusher.status(upload.location);
    noted(upload.size.observe(progress?.size, `${ledger.repository}: size of the upload ${upload.location}`));
    findings.uploads++;
    if (progress === undefined) {
      ledger.uploads.delete(upload);
      // A blob in doubt tells that the upload was being closed, not cancelled.
      if (ledger.blobs.get(digest)?.present.certain === undefined) closed.push(digest);
    } else {
      upload.location = progress.location;
    }
  }
  await eachOf(ledger.blobs.values(), async ({ content, present }) => {
    const size = await pusher.blob(content.digest);
    noted(present.observe(size !== undefined, `${ledger.repository}: presence of blob ${content.digest}`));
    if (size !== undefined && size !== content.size) throw new LossError(`${content.digest} has ${size} bytes`);
    findings.blobs++;
  });
  for (const digest of closed) {
    if (ledger.blobs.get(digest)?.present.certain !== true)
      throw new LossError(`${ledger.repository}: an upload was ended, but its blob ${digest} is not there`);
  }
  await eachOf(ledger.manifests, async ([digest, { size, blobs, present }]) => {
    const found = await pusher.manifest(digest);
    noted(present.observe(found !== undefined, `${ledger.repository}: presence of manifest ${digest}`));
    findings.manifests++;
    if (found === undefined) return;
    if (found.bytes.length !== size) throw new LossError(`${digest} has ${found.bytes.length} bytes`);
    const lacking = blobs.filter((blob) => ledger.blobs.get(blob)?.present.certain !== true);
    if (lacking.length > 0) throw new LossError(`${ledger.repository}: ${digest} is there without ${lacking}`);
  });
  const listed = new Set(await pusher.tags());
  await eachOf(ledger.tags, async ([tag, fact]) => {
    const found = await pusher.manifest(tag);
    noted(fact.observe(found?.digest, `${ledger.repository}: tag ${tag}`));
    if (listed.delete(tag) !== (found !== undefined)) throw new LossError(`the list is wrong about the tag ${tag}`);
    findings.tags++;
  });
  if (listed.size > 0) throw new LossError(`${ledger.repository} has tags that nobody pushed: ${[...listed]}`);
  return findings;
}

/** A few at a time. */
async function eachOf<T>(items: Iterable<T>, visit: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items];
  const walk = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await visit(item);
  };
  await Promise.all([walk(), walk(), walk(), walk()]);
}

/** Bytes in staging by upload. Segments are files named after their upload. */
export function stagedBytes(data: string): Map<string, number> {
  const directory = join(data, "blobs/staging");
  const sizes = new Map<string, number>();
  for (const name of readdirSync(directory)) {
    const upload = name.slice(0, name.indexOf("."));
    const size = statSync(join(directory, name), { throwIfNoEntry: false })?.size;
    if (size !== undefined) sizes.set(upload, (sizes.get(upload) ?? 0) + size);
  }
  return sizes;
}

/** Waits until staging holds the open uploads' bytes and nothing else: what a crash left has been cleared away. */
export async function untilStagingIsClean(data: string, ledgers: readonly Ledger[]): Promise<void> {
  const expected = new Map<string, number>();
  for (const { uploads } of ledgers) {
    for (const { location, size } of uploads) {
      const id = /\/([^/]+)\.\d+$/.exec(location)?.[1] as string;
      if (size.certain !== undefined && size.certain > 0) expected.set(id, size.certain);
    }
  }
  const differing = (): string[] => {
    const staged = stagedBytes(data);
    return [...new Set([...staged.keys(), ...expected.keys()])].filter((id) => staged.get(id) !== expected.get(id));
  };
  await until(
    () => (differing().length === 0 ? true : undefined),
    10_000,
    () => `staging does not hold what the open uploads have: ${differing().join(", ")}`,
  );
}

/** Files in the store that do not have the bytes which their names tell. */
export async function damagedFiles(data: string): Promise<string[]> {
  const damaged: string[] = [];
  for (const path of storedFiles(data)) {
    const name = path.slice(path.lastIndexOf("/") + 1);
    const found = digestOf(await Bun.file(path).bytes());
    if (!name.startsWith(found.replace(":", "-"))) damaged.push(path);
  }
  return damaged;
}

/** The files of all blobs, whether anything refers to them or not. */
export function storedFiles(data: string): string[] {
  const directory = join(data, "blobs/blobs");
  if (!existsSync(directory)) return [];
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}
