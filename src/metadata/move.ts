import type { PostgresDatabase } from "./postgres.ts";
import type { SqliteConnection } from "./sqlite.ts";
import { all, first, type Row, run, type SqlValue } from "./statement.ts";
import { columnList, ContentHash, tablesOf, type TableShape } from "./tables.ts";

/** The copy cannot be made; the message says why. Nothing was changed. */
export class MoveRefused extends Error {
  override readonly name = "MoveRefused";
}

export interface Moved {
  tables: number;
  rows: number;
}

/** Told as a copy goes on: of how many rows how many are copied. */
type Tell = (copied: number, total: number) => void;

/** A database as a place of rows, within one transaction. */
interface Rows {
  count(table: TableShape): Promise<number>;
  /** In the order of the key, some thousand at a time. */
  read(table: TableShape): AsyncIterable<Row[]>;
}

interface WritableRows extends Rows {
  clear(table: TableShape): Promise<void>;
  insert(table: TableShape, rows: readonly Row[]): Promise<void>;
  /** New rows get ids above those that came. */
  finish(tables: readonly TableShape[]): Promise<void>;
}

const batch = 2000;

/**
 * Copies all metadata from a file into an empty PostgreSQL, and compares. One transaction: what breaks off has not
 * begun. @throws MoveRefused if there is a registry in the target already
 */
export async function moveToPostgres(source: SqliteConnection, target: PostgresDatabase, tell: Tell): Promise<Moved> {
  const tables = tablesOf(source);
  return target.alone(async (execute) => copy(tables, sqliteRows(source), postgresRows(execute), tell));
}

/** The other way. The database is read in one state, and nobody commits to it meanwhile. @throws MoveRefused */
export async function moveToSqlite(source: PostgresDatabase, target: SqliteConnection, tell: Tell): Promise<Moved> {
  const tables = tablesOf(target);
  return source.alone(async (execute) => {
    target.exec("BEGIN IMMEDIATE");
    try {
      const moved = await copy(tables, postgresRows(execute), sqliteRows(target), tell);
      target.exec("COMMIT");
      return moved;
    } catch (error) {
      target.exec("ROLLBACK");
      throw error;
    }
  });
}

async function copy(tables: readonly TableShape[], from: Rows, to: WritableRows, tell: Tell): Promise<Moved> {
  let total = 0;
  for (const table of tables) {
    total += await from.count(table);
    // What a new schema brings along is replaced; anything else is somebody's.
    if (table.name !== "versions" && (await to.count(table)) > 0) {
      throw new MoveRefused(`the target is not empty: it has rows in ${table.name}; name a new database`);
    }
  }
  let copied = 0;
  tell(copied, total);
  for (const table of tables) {
    await to.clear(table);
    const sent = new ContentHash();
    for await (const rows of from.read(table)) {
      sent.add(rows, table);
      await to.insert(table, rows);
      copied += rows.length;
      tell(copied, total);
    }
    const arrived = new ContentHash();
    for await (const rows of to.read(table)) arrived.add(rows, table);
    const [one, other] = [String(sent), String(arrived)];
    if (one !== other) throw new Error(`${table.name} is not the same after the copy: ${one} here, ${other} there`);
  }
  await to.finish(tables);
  return { tables: tables.length, rows: copied };
}

function sqliteRows(connection: SqliteConnection): WritableRows {
  return {
    count: ({ name }) => Promise.resolve(connection.run(countOf(name))?.n ?? 0),
    async *read(table) {
      let after: SqlValue[] | undefined;
      for (;;) {
        const [where, params] =
          after === undefined ? ["", []] : [`WHERE (${keyList(table)}) > (${marks(after)})`, after];
        const sql = `SELECT ${columnList(table)} FROM "${table.name}" ${where} ORDER BY ${keyList(table)} LIMIT ${batch}`;
        const rows = connection.run(all<Row>(sql, ...params)).map(withoutNul);
        const last = rows.at(-1);
        if (last === undefined) return;
        yield rows;
        after = table.key.map((name) => last[name] as SqlValue);
        // Who draws progress, and whoever else waits, gets a turn.
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
    clear: async ({ name }) => connection.run(run(`DELETE FROM "${name}"`)),
    insert: async (table, rows) => {
      const sql = `INSERT INTO "${table.name}" (${columnList(table)}) VALUES (${marks(table.columns)})`;
      for (const row of rows) connection.run(run(sql, ...table.columns.map(({ name }) => row[name] as SqlValue)));
    },
    finish: () => Promise.resolve(),
  };
}

const types = { INTEGER: "bigint[]", TEXT: "text[]", BLOB: "bytea[]" } as const;

type Execute = (sql: string, params?: readonly unknown[]) => Promise<Row[]>;

function postgresRows(execute: Execute): WritableRows {
  return {
    count: async ({ name }) => Number((await execute(`SELECT count(*) AS n FROM "${name}"`))[0]?.n),
    async *read(table) {
      const sql = `SELECT ${columnList(table)} FROM "${table.name}" ORDER BY ${keyList(table)}`;
      await execute(`DECLARE rows NO SCROLL CURSOR FOR ${sql}`);
      for (;;) {
        const rows = await execute(`FETCH ${batch} FROM rows`);
        if (rows.length === 0) break;
        yield rows;
      }
      await execute("CLOSE rows");
    },
    clear: async ({ name }) => void (await execute(`DELETE FROM "${name}"`)),
    insert: async (table, rows) => {
      const lists = table.columns.map(({ name }) => rows.map((row) => row[name]));
      const arrays = table.columns.map(({ type }, i) => `$${i + 1}::${types[type]}`);
      await execute(
        `INSERT INTO "${table.name}" (${columnList(table)}) SELECT * FROM unnest(${arrays.join(", ")})`,
        lists,
      );
    },
    async finish(tables) {
      for (const { name, columns } of tables) {
        if (!columns.some((column) => column.name === "id" && column.type === "INTEGER")) continue;
        await execute(
          `SELECT setval(pg_get_serial_sequence('${name}', 'id'), greatest(max(id), 1), max(id) IS NOT NULL) FROM "${name}"`,
        );
      }
    },
  };
}

const countOf = (name: string) => first<{ n: number }>(`SELECT count(*) AS n FROM "${name}"`);
const keyList = ({ key }: TableShape): string => key.map((name) => `"${name}"`).join(", ");
const marks = (values: readonly unknown[]): string => values.map(() => "?").join(", ");

/** As PostgreSQL keeps text: see `storable` there. */
function withoutNul(row: Row): Row {
  for (const [name, value] of Object.entries(row)) {
    if (typeof value === "string" && value.includes("\0")) row[name] = value.replaceAll("\0", "\uFFFD");
  }
  return row;
}
