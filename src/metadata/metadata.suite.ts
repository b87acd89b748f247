import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { command, type Database } from "./database.ts";
import { bumpVersion } from "./freshness.ts";
import { all, first, inList, run } from "./statement.ts";

const put = command("test.put", function* (input: { id: string; number: string; fail?: boolean }) {
  yield* run(
    "INSERT INTO projects (id, number, display_name, created_at) VALUES (?, ?, ?, ?)",
    input.id,
    input.number,
    "test",
    0,
  );
  yield* bumpVersion("projects");
  if (input.fail === true) throw new Error("changed my mind");
  return input.id.length;
});

const swap = command("test.swap", function* (input: { id: string }) {
  const row = yield* first<{ created_at: number }>("SELECT created_at FROM projects WHERE id = ?", input.id);
  yield* run("UPDATE projects SET created_at = ? WHERE id = ?", (row?.created_at ?? 0) + 1, input.id);
});

const rescue = command("test.rescue", function* (input: { id: string }) {
  yield* run("INSERT INTO projects (id, number, display_name, created_at) VALUES ('before', '0', '', 0)");
  try {
    yield* run("INSERT INTO projects (id, number, display_name, created_at) VALUES (?, NULL, NULL, 0)", input.id);
  } catch {
    return "refused";
  }
  return "taken";
});

const wrongBlob = command("test.wrongBlob", function* () {
  yield* run(
    "INSERT INTO registries (id, host, project_id, bucket, store, created_at) VALUES (1, 'h', 'p', 'b', 's', 0)",
  );
  yield* run("INSERT INTO repositories (id, registry_id, name, created_at) VALUES (1, 1, 'p/a', 0)");
  yield* run("INSERT INTO blobs (id, store, digest, size, storage_key, created_at) VALUES (1, 's', 'd', 1, 'k', 0)");
  yield* run("INSERT INTO blob_links (repository_id, blob_id, registry_id, created_at) VALUES (1, 1, 1, 0)");
});

const collectWrongly = command("test.collectWrongly", function* () {
  yield* run("DELETE FROM blobs WHERE id = 1");
});

/** Commands that the suite needs; a driver's test makes its writer with them. */
export const suiteCommands = [put, swap, rescue, wrongBlob, collectWrongly];

/** The contract of Database, for every driver. `open` gives a new instance on the same data each time. */
export function metadataSuite(name: string, make: () => Promise<{ open(): Database; remove(): Promise<void> }>): void {
  describe(name, () => {
    let backend: Awaited<ReturnType<typeof make>>;
    let database: Database;
    let other: Database;

    beforeEach(async () => {
      backend = await make();
      database = backend.open();
      other = backend.open();
    });

    afterEach(() => backend.remove());

    const ids = async (from: Database): Promise<string[]> =>
      (await from.read(all<{ id: string }>("SELECT id FROM projects ORDER BY id"))).map(({ id }) => id);

    test("a write is seen by every read after it, whoever reads", async () => {
      expect(await database.write(put, { id: "a", number: "1" })).toBe(1);
      expect(await ids(database)).toEqual(["a"]);
      expect(await ids(other)).toEqual(["a"]);
      expect(await other.readRow<{ id: string }>("SELECT id FROM projects WHERE id = ?", "a")).toEqual({ id: "a" });
      expect(await other.readRow("SELECT id FROM projects WHERE id = ?", "b")).toBeUndefined();
    });

    test("a command that throws leaves nothing, and takes nobody along", async () => {
      const outcomes = await Promise.allSettled([
        database.write(put, { id: "a", number: "1" }),
        database.write(put, { id: "b", number: "2", fail: true }),
        other.write(put, { id: "c", number: "1" }),
        other.write(put, { id: "d", number: "4" }),
      ]);
      expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "rejected", "fulfilled"]);
      expect((outcomes[1] as PromiseRejectedResult).reason).toMatchObject({ message: "changed my mind" });
      expect(await ids(other)).toEqual(["a", "d"]);
    });

    test("an error of a statement ends the command, even one that would go on", async () => {
      await expect(database.write(rescue, { id: "a" })).rejects.toThrow(/null/i);
      expect(await ids(database)).toEqual([]);
    });

    test("commands do not see halves of each other: a thousand additions add up", async () => {
      await database.write(put, { id: "a", number: "1" });
      await Promise.all(Array.from({ length: 1000 }, (_, i) => (i % 2 ? database : other).write(swap, { id: "a" })));
      expect(await other.readRow("SELECT created_at FROM projects")).toEqual({ created_at: 1000 });
    });

    test("the statements of one read see one state", async () => {
      const before = database.read(
        (function* () {
          const one = yield* first<{ n: number }>("SELECT count(*) AS n FROM projects");
          const two = yield* first<{ n: number }>("SELECT count(*) AS n FROM projects");
          return [one?.n, two?.n];
        })(),
      );
      await other.write(put, { id: "a", number: "1" });
      const [one, two] = await before;
      expect(one).toBe(two as number);
    });

    test("the change count moves with every commit of another, and not without", async () => {
      const counts = [await other.changeCount(), await other.changeCount()];
      expect(counts[0]).toBe(counts[1] as number);
      await database.write(put, { id: "a", number: "1" });
      expect(await other.changeCount()).not.toBe(counts[1] as number);
    });

    test("a blob that is linked cannot be collected, even by a wrong collector", async () => {
      await database.write(put, { id: "p", number: "1" });
      await database.write(wrongBlob, undefined);
      await expect(database.write(collectWrongly, undefined)).rejects.toThrow(/foreign key/i);
    });

    test("lists of any length find exactly theirs", async () => {
      for (let i = 0; i < 9; i++) await database.write(put, { id: `p${i}`, number: `${i}` });
      for (let length = 1; length <= 9; length++) {
        const wanted = Array.from({ length }, (_, i) => `p${i}`);
        const { marks, padded } = inList(wanted);
        const rows = await database.read(
          all<{ id: string }>(`SELECT id FROM projects WHERE id IN (${marks}) ORDER BY id`, ...padded),
        );
        expect(rows.map(({ id }) => id)).toEqual(wanted);
      }
    });
  });
}
