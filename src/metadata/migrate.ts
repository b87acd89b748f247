import type { SqliteConnection } from "./sqlite.ts";
import { migrations as released, type Migration } from "./schema.ts";
import { first, run } from "./statement.ts";

/** The data was written by a later version of the program; nothing has been changed. */
export class NewerSchemaError extends Error {
  override readonly name = "NewerSchemaError";
}

/** Brings the schema forward to this program's, in one transaction. @throws NewerSchemaError */
export function migrate(connection: SqliteConnection, migrations: readonly Migration[] = released): void {
  connection.exec("BEGIN IMMEDIATE");
  try {
    connection.run(
      run("CREATE TABLE IF NOT EXISTS schema_migrations (version INTEGER PRIMARY KEY, applied_at INTEGER NOT NULL)"),
    );
    const current =
      connection.run(first<{ version: number }>("SELECT max(version) AS version FROM schema_migrations"))?.version ?? 0;
    const newest = migrations.at(-1)?.version ?? 0;
    if (current > newest) {
      throw new NewerSchemaError(
        `the data directory has schema ${current}, this program knows up to ${newest}: ` +
          "it was written by a newer version of Berth; start that version, or restore a backup of before the upgrade",
      );
    }
    for (const { version, statements } of migrations) {
      if (version <= current) continue;
      for (const sql of statements) connection.exec(sql);
      connection.run(run("INSERT INTO schema_migrations (version, applied_at) VALUES (?, ?)", version, Date.now()));
    }
    connection.exec("COMMIT");
  } catch (error) {
    connection.exec("ROLLBACK");
    throw error;
  }
}
