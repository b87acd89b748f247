import { Database } from "bun:sqlite";
import { join } from "node:path";
import pg from "pg";
import { toPostgres } from "../../src/metadata/postgres.ts";
import { databaseNameOf, postgresPrograms } from "./postgres-database.ts";

type Value = string | number | null;

/** The metadata of a server behind its back, whichever database it is in; SQL in the program's dialect. */
export interface MetadataHandle {
  run(sql: string, params?: readonly Value[]): void;
  get(sql: string, params?: readonly Value[]): unknown;
  all(sql: string, params?: readonly Value[]): unknown[];
  /** All rows of all tables but some. */
  content(without: readonly string[]): Promise<unknown[]>;
  close(): void;
  [Symbol.dispose](): void;
}

/** @param data the server's data directory */
export function openMetadata(data: string): MetadataHandle {
  const handle = process.env.BERTH_TEST_POSTGRES === undefined ? inFile(data) : inPostgres(data);
  return {
    ...handle,
    get: (sql: string, params: readonly Value[] = []) => handle.all(sql, params)[0],
    [Symbol.dispose]: () => handle.close(),
  };
}

type Basics = Pick<MetadataHandle, "run" | "all" | "content" | "close">;

function inFile(data: string): Basics {
  const database = new Database(join(data, "berth.db"), { readwrite: true });
  database.run("PRAGMA busy_timeout = 5000");
  return {
    run: (sql, params = []) => void database.run(sql, [...params]),
    all: (sql, params = []) => database.query(sql).all(...params),
    content(without) {
      const names = database
        .query("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name")
        .values()
        .flat() as string[];
      const read = (name: string): unknown[] => database.query(`SELECT * FROM "${name}"`).values().map(String);
      return Promise.resolve(names.filter((name) => !without.includes(name)).map(read));
    },
    close: () => database.close(),
  };
}

function inPostgres(data: string): Basics {
  const url = (process.env.BERTH_TEST_POSTGRES as string).replace(/postgres$/, databaseNameOf(data));
  const pool = new pg.Pool({ connectionString: url, max: 1 });
  const psql = (sql: string): string => {
    const program = join(postgresPrograms() ?? "", "psql");
    const { success, stdout, stderr } = Bun.spawnSync([program, "-qAtX", "-v", "ON_ERROR_STOP=1", url, "-c", sql]);
    if (!success) throw new Error(stderr.toString());
    return stdout.toString();
  };
  return {
    run: (sql, params = []) => void psql(filledIn(sql, params)),
    all: (sql, params = []) =>
      JSON.parse(psql(`SELECT coalesce(json_agg(t), '[]') FROM (${filledIn(sql, params)}) t`)) as unknown[],
    async content(without) {
      const names = await pool.query(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> ALL ($1)",
        [without],
      );
      // Rows move as they are updated: in the order of what they say.
      const read = names.rows.map(
        ({ tablename }: { tablename: string }) =>
          `(SELECT '${tablename}' AS name, string_agg(t::text, ' ' ORDER BY t::text) AS rows FROM "${tablename}" t)`,
      );
      return (await pool.query({ text: `${read.join(" UNION ALL ")} ORDER BY 1`, rowMode: "array" })).rows;
    },
    close: () => void pool.end(),
  };
}

function filledIn(sql: string, params: readonly Value[]): string {
  return toPostgres(sql).replaceAll(/\$(\d+)/g, (_, number: string) => {
    const value = params[Number(number) - 1] ?? null;
    return typeof value === "string" ? `'${value.replaceAll("'", "''")}'` : String(value);
  });
}
