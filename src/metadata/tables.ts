import type { SqliteConnection } from "./sqlite.ts";
import { all, type Row } from "./statement.ts";

/** A table of the schema, as far as a copy needs it. */
export interface TableShape {
  name: string;
  columns: readonly { name: string; type: "INTEGER" | "TEXT" | "BLOB" }[];
  /** Columns of the primary key, in its order. */
  key: readonly string[];
}

/** Not data of a registry: each database keeps its own. */
const own = new Set(["schema_migrations", "leases"]);

/** The tables of the schema, those that others refer to before these. */
export function tablesOf(connection: SqliteConnection): TableShape[] {
  const names = connection
    .run(all<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"))
    .map(({ name }) => name)
    .filter((name) => !own.has(name));
  const refers = new Map(names.map((name) => [name, referred(connection, name)]));
  const ordered: string[] = [];
  while (ordered.length < names.length) {
    const next = names.find(
      (name) => !ordered.includes(name) && [...(refers.get(name) ?? [])].every((other) => ordered.includes(other)),
    );
    if (next === undefined) throw new Error("the tables refer to each other in a circle");
    ordered.push(next);
  }
  return ordered.map((name) => shapeOf(connection, name));
}

function referred(connection: SqliteConnection, name: string): Set<string> {
  const rows = connection.run(all<{ table: string }>(`PRAGMA foreign_key_list(${name})`));
  return new Set(rows.map(({ table }) => table).filter((table) => table !== name));
}

function shapeOf(connection: SqliteConnection, name: string): TableShape {
  const rows = connection.run(all<{ name: string; type: string; pk: number }>(`PRAGMA table_info(${name})`));
  const columns = rows.map((row) => ({ name: row.name, type: row.type as "INTEGER" | "TEXT" | "BLOB" }));
  const key = rows.filter(({ pk }) => pk > 0).sort((a, b) => a.pk - b.pk);
  return { name, columns, key: key.map((row) => row.name) };
}

/** Columns as SQL lists them; one of them has the name of a keyword. */
export function columnList({ columns }: TableShape): string {
  return columns.map(({ name }) => `"${name}"`).join(", ");
}

/** Of rows in the order of the key: the same for the same content, whichever database it came from. */
export class ContentHash {
  readonly #hasher = new Bun.CryptoHasher("sha256");
  #rows = 0;

  add(rows: readonly Row[], { columns }: TableShape): void {
    this.#rows += rows.length;
    for (const row of rows) {
      const values = columns.map(({ name }) => {
        const value = row[name];
        return value instanceof Uint8Array ? { bytes: Bun.CryptoHasher.hash("sha256", value, "hex") } : value;
      });
      this.#hasher.update(`${JSON.stringify(values)}\n`);
    }
  }

  /** Ends the hash. */
  toString(): string {
    return `${this.#rows} rows, ${this.#hasher.digest("hex")}`;
  }
}
