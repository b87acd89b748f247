import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toBerthError } from "../http/berth-error.ts";
import { command } from "./database.ts";
import { SqliteConnection, SqliteDatabase, SqliteWriter } from "./sqlite.ts";
import { all, first, run } from "./statement.ts";

const add = command("test.add", function* (input: { id: number; text?: string }) {
  yield* run("INSERT INTO entries (id, text) VALUES (?, ?)", input.id, input.text ?? "");
  const row = yield* first<{ count: number }>("SELECT count(*) AS count FROM entries");
  return row?.count;
});
/** Throws after its statements, before them, or where a statement threw. */
const fail = command("test.fail", function* (input: { id: number; where: "before" | "after" | "finally" }) {
  if (input.where === "before") throw new Error("before");
  try {
    yield* run("INSERT INTO entries (id, text) VALUES (?, 'half')", input.id);
    if (input.where === "after") throw new Error("after");
    yield* run("INSERT INTO entries (id, text) VALUES (?, 'twice')", input.id);
  } finally {
    // Runs inside of the command, and is undone with it.
    yield* run("INSERT INTO entries (id, text) VALUES (?, 'finally')", input.id + 1000);
  }
});
const fill = command("test.fill", function* (input: { size: number }) {
  yield* run("INSERT INTO entries (id, text) VALUES (999, zeroblob(?))", input.size);
});

let directory: string;
let path: string;
let connection: SqliteConnection;
let writer: SqliteWriter;
let database: SqliteDatabase;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "berth-writer-"));
  path = join(directory, "test.db");
  connection = new SqliteConnection(path, "write");
  connection.exec("CREATE TABLE entries (id INTEGER PRIMARY KEY, text BLOB NOT NULL)");
  writer = new SqliteWriter(connection, [add, fail, fill]);
  database = new SqliteDatabase(path, writer);
});
afterEach(() => {
  database.close();
  connection.close();
  rmSync(directory, { recursive: true });
});

const ids = async (): Promise<number[]> =>
  (await database.read(all<{ id: number }>("SELECT id FROM entries ORDER BY id"))).map(({ id }) => id);

describe("a group of commands", () => {
  test("runs in the order of asking; each sees those before it, in this group or an earlier one", async () => {
    const outputs = await Promise.all(Array.from({ length: 600 }, (_, i) => database.write(add, { id: 600 - i })));
    expect(outputs).toEqual(Array.from({ length: 600 }, (_, i) => i + 1));
  });

  test.each(["before", "after", "finally"] as const)("stands though one in it throws: %s", async (where) => {
    const outcomes = await Promise.allSettled([
      database.write(add, { id: 1 }),
      database.write(fail, { id: 2, where }),
      database.write(add, { id: 3 }),
      writer.write("test.unknown", {}),
      database.write(add, { id: 1 }),
      database.write(add, { id: 4 }),
    ]);
    expect(outcomes.map((each) => (each.status === "fulfilled" ? each.value : "failed"))).toEqual([
      1,
      "failed",
      2,
      "failed",
      "failed",
      3,
    ]);
    const messages = outcomes.flatMap((each) => (each.status === "rejected" ? [String(each.reason)] : []));
    expect(messages[0]).toMatch(where === "finally" ? /UNIQUE/ : new RegExp(where));
    expect(messages.slice(1)).toEqual([
      expect.stringContaining("unknown command: test.unknown"),
      expect.stringContaining("UNIQUE"),
    ]);
    expect(await ids()).toEqual([1, 3, 4]);
  });

  test("is acknowledged when it is committed, not before: another connection finds it", async () => {
    const other = new SqliteConnection(path, "read");
    await Promise.all(
      Array.from({ length: 50 }, async (_, id) => {
        await database.write(add, { id });
        expect(other.get("SELECT id FROM entries WHERE id = ?", [id])).toEqual({ id });
      }),
    );
    other.close();
  });
});

test("a full database tells each command whether it happened, and takes commands again when there is room", async () => {
  await database.write(add, { id: 1 });
  const { page_count: pages } = connection.get("PRAGMA page_count", []) as { page_count: number };
  connection.exec(`PRAGMA max_page_count = ${pages + 2}`);
  const asked = [
    database.write(add, { id: 2 }),
    database.write(fill, { size: 1_000_000 }),
    database.write(add, { id: 3 }),
  ];
  const outcomes = await Promise.allSettled(asked);
  const [, filled] = outcomes as [unknown, PromiseRejectedResult];
  expect(filled.status).toBe("rejected");
  expect(toBerthError(filled.reason).code).toBe("STORAGE_FULL");
  // SQLite may have undone the others with it; then they were told so.
  const told = outcomes.flatMap(({ status }, i) => (status === "fulfilled" ? [[2, 999, 3][i] as number] : []));
  expect(await ids()).toEqual([1, ...told].sort((a, b) => a - b));
  for (const each of outcomes) {
    if (each.status === "rejected") expect(toBerthError(each.reason).code).toBe("STORAGE_FULL");
  }
  connection.exec("PRAGMA max_page_count = 1000000");
  await database.write(fill, { size: 1_000_000 });
  expect(await ids()).toEqual([1, ...told, 999].sort((a, b) => a - b));
});

test("a writer knows each command by one name", () => {
  expect(() => new SqliteWriter(connection, [add, command("test.add", fill.steps)])).toThrow("same name");
});

describe("reads", () => {
  test("that throw let go of what they saw", async () => {
    const broken = (function* () {
      yield* all("SELECT * FROM entries");
      throw new Error("changed my mind");
    })();
    await expect(database.read(broken)).rejects.toThrow("changed my mind");
    await expect(database.read(all("SELECT nothing FROM entries"))).rejects.toThrow(/nothing/);
    await expect(database.readRow("SELECT")).rejects.toThrow();
    await database.write(add, { id: 7 });
    expect(await ids()).toEqual([7]);
    // A reader that held on to its state would keep the journal from being emptied.
    expect(connection.get("PRAGMA wal_checkpoint(TRUNCATE)", [])).toMatchObject({ busy: 0, log: 0 });
  });

  test("cannot write", async () => {
    await expect(database.read(run("INSERT INTO entries (id, text) VALUES (1, '')"))).rejects.toThrow(/readonly/i);
    expect(await ids()).toEqual([]);
  });

  test("of more different statements than are kept prepared", async () => {
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 700; i++) expect(await database.readRow(`SELECT ${i} AS i`)).toEqual({ i });
    }
    await database.write(add, { id: 1 });
    expect(await ids()).toEqual([1]);
  });

  test("give every value as it was written", async () => {
    const values = [
      "",
      "é\u0000\u{1f680}",
      0,
      -1,
      Number.MAX_SAFE_INTEGER,
      null,
      new Uint8Array([0, 255]),
      new Uint8Array(),
    ];
    for (const value of values) expect(await database.readRow("SELECT ? AS value", value)).toEqual({ value });
  });
});
