import { Database as Connection } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { migrate, NewerSchemaError } from "./migrate.ts";
import { type Migration, migrations } from "./schema.ts";
import { SqliteConnection } from "./sqlite.ts";
import { all } from "./statement.ts";

let directory: string;
let path: string;
let connection: SqliteConnection;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "berth-migrate-"));
  path = join(directory, "test.db");
  connection = new SqliteConnection(path, "write");
});
afterEach(() => {
  connection.close();
  rmSync(directory, { recursive: true });
});

const people: Migration = {
  version: 1,
  statements: ["CREATE TABLE people (name TEXT PRIMARY KEY)", "INSERT INTO people VALUES ('Ada')"],
};
const ages: Migration = {
  version: 2,
  statements: ["ALTER TABLE people ADD COLUMN age INTEGER", "UPDATE people SET age = 36"],
};
const broken: Migration = {
  version: 3,
  statements: [
    "INSERT INTO people VALUES ('Grace', 85)",
    "CREATE TABLE half (a)",
    "ALTER TABLE people DROP COLUMN age",
    "INSERT INTO nowhere VALUES (1)",
  ],
};

/** Everything that stands in the database, its form included. */
function content(): unknown {
  const objects = connection.run(
    all<{ name: string; sql: string }>("SELECT name, sql FROM sqlite_master ORDER BY name"),
  );
  const tables = objects.filter(({ sql }) => sql?.startsWith("CREATE TABLE"));
  return [objects, tables.map(({ name }) => connection.run(all(`SELECT * FROM ${name}`)))];
}

const applied = (): number[] =>
  connection
    .run(all<{ version: number }>("SELECT version FROM schema_migrations ORDER BY version"))
    .map(({ version }) => version);

describe("forward", () => {
  test("each migration once, in order, from wherever the data stands", () => {
    migrate(connection, [people]);
    expect(applied()).toEqual([1]);
    migrate(connection, [people, ages]);
    migrate(connection, [people, ages]);
    expect(applied()).toEqual([1, 2]);
    expect(connection.run(all("SELECT * FROM people"))).toEqual([{ name: "Ada", age: 36 }]);
  });

  test("one that fails leaves nothing, of itself or of those before it in the same start", () => {
    const empty = content();
    expect(() => migrate(connection, [people, ages, broken])).toThrow(/nowhere/);
    expect(content()).toEqual(empty);
    migrate(connection, [people, ages]);
    const before = content();
    expect(() => migrate(connection, [people, ages, broken])).toThrow(/nowhere/);
    expect(content()).toEqual(before);
    // The connection is good for more: no transaction was left open.
    const mended = { version: 3, statements: broken.statements.slice(0, 3) };
    migrate(connection, [people, ages, mended]);
    expect(connection.run(all("SELECT name FROM people ORDER BY name"))).toEqual([{ name: "Ada" }, { name: "Grace" }]);
    expect(applied()).toEqual([1, 2, 3]);
  });
});

test("data of a newer version is refused, both versions named, and not a byte of it changed", () => {
  migrate(connection, [people, ages]);
  connection.close();
  const before = readFileSync(path);
  connection = new SqliteConnection(path, "write");
  expect(() => migrate(connection, [people])).toThrow(NewerSchemaError);
  expect(() => migrate(connection, [people])).toThrow(/schema 2, .* up to 1\b.*newer version/);
  connection.close();
  expect(readFileSync(path)).toEqual(before);
  connection = new SqliteConnection(path, "write");
  expect(connection.run(all("SELECT * FROM people"))).toEqual([{ name: "Ada", age: 36 }]);
});

describe("the released migrations", () => {
  test("are numbered from 1 without a gap", () => {
    expect(migrations.map(({ version }) => version)).toEqual(migrations.map((_, i) => i + 1));
  });

  test("make a database in which everything holds, and every reference has a target that can be looked up", () => {
    migrate(connection);
    expect(connection.run(all("PRAGMA integrity_check"))).toEqual([{ integrity_check: "ok" }]);
    expect(connection.run(all("PRAGMA foreign_key_check"))).toEqual([]);
    const reader = new Connection(path, { readonly: true });
    const tables = reader.query("SELECT name FROM sqlite_master WHERE type = 'table'").all() as { name: string }[];
    for (const { name } of tables) {
      // A reference to columns that are no key fails here, and nowhere else before the first write.
      expect(() => connection.exec(`DELETE FROM ${name} WHERE 0`)).not.toThrow();
    }
    reader.close();
  });
});
