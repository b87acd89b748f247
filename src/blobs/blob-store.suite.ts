import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { digestOf } from "../names/digest.ts";
import { type BlobStore, MissingBytesError, type StagingKey, type StorageKey } from "./blob-store.ts";

/** The contract of BlobStore, for every driver. `open` gives a new instance on the same bytes each time. */
export function blobStoreSuite(
  name: string,
  make: () => Promise<{ open(): Promise<BlobStore>; remove(): Promise<void> }>,
): void {
  describe(name, () => {
    let backend: Awaited<ReturnType<typeof make>>;
    let store: BlobStore;
    let other: BlobStore;

    beforeEach(async () => {
      backend = await make();
      store = await backend.open();
      other = await backend.open();
    });

    // A test that leaves something behind is one that a driver cannot clean up after either.
    afterEach(async () => {
      const left = [
        ...(await all(store.list())).map(({ key }) => key),
        ...(await all(store.listStaged())).map(({ key }) => key),
      ];
      await backend.remove();
      expect(left).toEqual([]);
    });

    const bytes = Buffer.from("some bytes of a blob");
    const digest = digestOf(bytes);

    async function stage(content: Uint8Array, segment = "upload"): Promise<StagingKey> {
      const writer = await store.stage(segment);
      await writer.write(content);
      await writer.commit();
      return writer.key;
    }

    async function read(from: BlobStore, key: StorageKey, range?: { first: number; last: number }): Promise<string> {
      const body = await from.read(key, range);
      if (body.kind === "stream") return new Response(body.stream).text();
      const file = Bun.file(body.path);
      return range === undefined ? file.text() : file.slice(range.first, range.last + 1).text();
    }

    test("a segment becomes a blob, readable through every instance, whole and in part", async () => {
      const staged = await stage(bytes);
      const key = await store.adopt(staged, digest);
      await store.removeStaged(staged);
      for (const instance of [store, other]) {
        expect(await read(instance, key)).toBe(bytes.toString());
        expect(await read(instance, key, { first: 5, last: 9 })).toBe("bytes");
        expect(Buffer.from(await instance.readSmall(key)).equals(bytes)).toBe(true);
      }
      expect(await all(other.list())).toEqual([{ key, digest }]);
      await other.remove(key);
    });

    test("adopting a segment again finds the same blob; another segment of the same bytes is another", async () => {
      const [staged, again] = [await stage(bytes), await stage(bytes)];
      const first = await store.adopt(staged, digest);
      expect(await other.adopt(staged, digest)).toBe(first);
      expect(Buffer.concat(await all(other.readStaged(staged))).toString()).toBe(bytes.toString());
      const second = await other.adopt(again, digest);
      expect(second).not.toBe(first);
      await store.removeStaged(staged);
      await store.remove(first);
      expect(await read(other, second)).toBe(bytes.toString());
      await store.remove(second);
      await store.removeStaged(again);
    });

    test("a segment that another process finds abandoned goes, the blob that was made of one stays", async () => {
      const [abandoned, adopted] = [await stage(bytes), await stage(bytes)];
      const key = await store.adopt(adopted, digest);
      for (const segment of [abandoned, adopted]) await other.removeStaged(segment);
      expect(await all(store.listStaged())).toEqual([]);
      await expect(all(store.readStaged(abandoned))).rejects.toThrow(MissingBytesError);
      expect(await read(store, key)).toBe(bytes.toString());
      await store.remove(key);
    });

    test("segments of one name never meet", async () => {
      const [one, two] = await Promise.all([store.stage("same"), other.stage("same")]);
      await Promise.all([one.write(Buffer.from("1")), two.write(Buffer.from("2"))]);
      await Promise.all([one.commit(), two.commit()]);
      expect(one.key).not.toBe(two.key);
      expect(Buffer.concat(await all(other.readStaged(one.key))).toString()).toBe("1");
      expect((await all(other.listStaged())).map(({ key }) => key).sort()).toEqual([one.key, two.key].sort());
      await store.removeStaged(one.key);
      await store.removeStaged(two.key);
    });

    test("what is aborted leaves nothing, also after bytes were written", async () => {
      const writer = await store.stage("upload");
      await writer.write(new Uint8Array(100_000));
      await writer.abort();
      await expect(all(store.readStaged(writer.key))).rejects.toThrow(MissingBytesError);
    });

    test("an empty segment is an empty blob", async () => {
      const staged = await stage(new Uint8Array());
      const key = await store.adopt(staged, digestOf(""));
      expect(await read(store, key)).toBe("");
      await store.remove(key);
      await store.removeStaged(staged);
    });

    test("what is gone is missing to read and nothing to remove", async () => {
      const staged = await stage(bytes);
      const key = await store.adopt(staged, digest);
      await store.remove(key);
      await store.remove(key);
      await store.removeStaged(staged);
      await store.removeStaged(staged);
      await expect(read(store, key)).rejects.toThrow(MissingBytesError);
      await expect(store.readSmall(key)).rejects.toThrow(MissingBytesError);
      await expect(store.adopt(staged, digest)).rejects.toThrow(MissingBytesError);
    });

    test("a body that is being read is read to its end, though it is removed", async () => {
      const large = new Uint8Array(2 ** 22).fill(7);
      const staged = await stage(large);
      const key = await store.adopt(staged, digestOf(large));
      await store.removeStaged(staged);
      const body = await store.read(key, undefined);
      const stream = body.kind === "stream" ? body.stream : Bun.file(body.path).stream();
      const reader = stream.getReader();
      let size = (await reader.read()).value?.byteLength ?? 0;
      await store.remove(key);
      for (let next = await reader.read(); !next.done; next = await reader.read()) size += next.value.byteLength;
      expect(size).toBe(large.byteLength);
    });

    test("a store that answers says so, and leaves nothing", async () => {
      await store.check();
    });
  });
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}
