import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, readdirSync, readlinkSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Digest, digestOf } from "../names/digest.ts";
import { type BlobStore, MissingBytesError, type StagingKey, type StorageKey } from "./blob-store.ts";
import { FilesystemStore } from "./filesystem.ts";

/** What FilesystemStore promises of files, and a full disk; the contract of every store is in blob-store.suite.ts. */

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "berth-disk-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const open = (transfer: "file" | "stream" = "file"): Promise<FilesystemStore> =>
  FilesystemStore.open("default", join(directory, "store"), transfer);

async function stage(store: BlobStore, content: Uint8Array): Promise<StagingKey> {
  const writer = await store.stage("upload");
  await writer.write(content);
  await writer.commit();
  return writer.key;
}

async function store(into: BlobStore, content: Uint8Array, digest: Digest = digestOf(content)): Promise<StorageKey> {
  const staged = await stage(into, content);
  const key = await into.adopt(staged, digest);
  await into.removeStaged(staged);
  return key;
}

const filesBelow = (): string[] =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name));

/** Descriptors of this process that are open below the directory. */
const openFiles = (): string[] =>
  readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)].filter((path) => path.startsWith(directory));
    } catch {
      return [];
    }
  });

describe.each(["file", "stream"] as const)("transfer: %s", (transfer) => {
  test("a key that is gone is missing when it is asked for, not when its bytes are", async () => {
    const blobs = await open(transfer);
    const key = await store(blobs, Buffer.from("gone"));
    await blobs.remove(key);
    const outcome = blobs.read(key, undefined).then(
      (body) => body.kind,
      (error: unknown) => error,
    );
    expect(await outcome).toBeInstanceOf(MissingBytesError);
  });
});

describe("files", () => {
  test("are for their owner only, and the blob's name tells its digest by either algorithm", async () => {
    const blobs = await open();
    const content = Buffer.from("named");
    const digests = [digestOf(content), digestOf(content, "sha512")];
    const keys: StorageKey[] = [];
    for (const digest of digests) keys.push(await store(blobs, content, digest));
    expect(keys.map((key) => key.startsWith("sha"))).toEqual([true, true]);
    for (const path of filesBelow()) expect(statSync(path).mode & 0o077).toBe(0);
    // What others left there is no blob.
    writeFileSync(join(directory, "store/blobs/sha256", keys[0]?.split("/")[1] as string, "sha256-short.g"), "");
    const listed: string[] = [];
    for await (const { digest } of (await open()).list()) listed.push(digest);
    expect(listed.sort()).toEqual(digests.sort());
  });

  test("are written as they were given, in many pieces, from the middle of larger buffers, a lot at once", async () => {
    const blobs = await open();
    const whole = new Uint8Array(9_000_000).map((_, i) => (i * 31) ^ (i >> 8));
    const writer = await blobs.stage("upload");
    let at = 0;
    const writes: Promise<void>[] = [];
    for (let size = 1; at < whole.length; size = (size * 3) % 70_001) {
      writes.push(writer.write(whole.subarray(at, at + size)));
      at += size;
    }
    await Promise.all(writes);
    await writer.commit();
    const parts: Uint8Array[] = [];
    for await (const part of blobs.readStaged(writer.key)) parts.push(part);
    expect(digestOf(Buffer.concat(parts))).toBe(digestOf(whole));
  });

  test("are closed, whatever becomes of their readers and writers", async () => {
    const blobs = await open("stream");
    const key = await store(blobs, new Uint8Array(2_000_000));
    const streamOf = async (): Promise<ReadableStream<Uint8Array>> => {
      const body = await blobs.read(key, { first: 10, last: 1_999_999 });
      if (body.kind !== "stream") throw new Error("no stream");
      return body.stream;
    };
    for (let i = 0; i < 20; i++) {
      await (await streamOf()).cancel();
      const reader = (await streamOf()).getReader();
      await reader.read();
      await reader.cancel();
      expect((await new Response(await streamOf()).bytes()).length).toBe(1_999_990);
      const staged = await stage(blobs, new Uint8Array(600_000));
      for await (const part of blobs.readStaged(staged)) if (part.length > 0) break;
      await blobs.removeStaged(staged);
      const writer = await blobs.stage("upload");
      await writer.write(new Uint8Array(100_000));
      await writer.abort();
      await blobs.check();
      await blobs.adopt("absent" as StagingKey, digestOf("")).catch(() => {});
      await blobs.readSmall("absent" as StorageKey).catch(() => {});
    }
    expect(openFiles()).toEqual([]);
  });

  test("that others write meanwhile are listed whole: a segment that goes away under the list is left out", async () => {
    const [blobs, other] = [await open(), await open()];
    const keys: StagingKey[] = [];
    const before = Date.now();
    for (let i = 0; i < 50; i++) keys.push(await stage(blobs, Buffer.from(String(i))));
    const seen: string[] = [];
    for await (const { key, changedAt } of blobs.listStaged()) {
      expect(changedAt).toBeGreaterThanOrEqual(before - 1000);
      if (seen.length === 0) for (const each of keys.filter((each) => each !== key)) await other.removeStaged(each);
      seen.push(key);
    }
    expect(seen).toHaveLength(1);
    await blobs.removeStaged(seen[0] as StagingKey);
  });
});

describe.skipIf(process.getuid?.() !== 0)("a disk that is full (needs root)", () => {
  beforeEach(() => {
    const { success } = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", directory]);
    if (!success) throw new Error("no tmpfs could be mounted");
  });
  afterEach(() => {
    Bun.spawnSync(["umount", "-l", directory]);
  });

  test("fails the segment with ENOSPC, keeps nothing of it, and takes the next as soon as there is room", async () => {
    const blobs = await open();
    const kept = await store(blobs, Buffer.from("kept"));
    for (let round = 0; round < 3; round++) {
      const writer = await blobs.stage("upload");
      let thrown: unknown;
      try {
        for (let written = 0; written < 2 ** 25; written += 2 ** 16)
          await writer.write(new Uint8Array(2 ** 16).fill(1));
        await writer.commit();
      } catch (error) {
        thrown = error;
      }
      const rest = fillPages();
      const checked = await blobs.check().catch((error: unknown) => error);
      await writer.abort();
      rmSync(rest);
      expect(thrown).toMatchObject({ code: "ENOSPC" });
      // What cannot take a byte is not ready.
      expect(checked).toMatchObject({ code: "ENOSPC" });
      expect(filesBelow()).toHaveLength(1);
      expect(openFiles()).toEqual([]);
      await blobs.check();
      const next = await store(blobs, new Uint8Array(4_000_000));
      await blobs.remove(next);
    }
    expect(Buffer.from(await blobs.readSmall(kept)).toString()).toBe("kept");
  });

  /** Takes the pages that a large write found too few; the file's path. */
  function fillPages(): string {
    const path = join(directory, "rest");
    try {
      for (;;) appendFileSync(path, new Uint8Array(4096));
    } catch {
      return path;
    }
  }

  test("is told of where the bytes fit in what may wait, but not on the disk", async () => {
    const blobs = await open();
    const filler = await stage(blobs, new Uint8Array(7_000_000));
    const writer = await blobs.stage("upload");
    const outcome = (async () => {
      await writer.write(new Uint8Array(2_000_000));
      await writer.commit();
    })();
    await expect(outcome).rejects.toMatchObject({ code: "ENOSPC" });
    await writer.abort();
    await blobs.removeStaged(filler);
    expect(filesBelow()).toEqual([]);
  });
});
