import { existsSync } from "node:fs";
import { MoveRefused, type Moved, moveToPostgres, moveToSqlite } from "../metadata/move.ts";
import { migrate, migratePostgres } from "../metadata/migrate.ts";
import { SqliteConnection } from "../metadata/sqlite.ts";
import { claimDataDirectory, type DataDirectory, DataDirectoryError, releaseDataDirectory } from "./data-directory.ts";
import { type MetadataSettings, openPostgres } from "./metadata.ts";

interface MoveRequest {
  directory: DataDirectory;
  /** Those of the PostgreSQL. */
  metadata: MetadataSettings;
  to: "postgres" | "file";
  tell: (copied: number, total: number) => void;
}

/**
 * Copies the metadata between the file in a data directory and PostgreSQL. What it is copied from stays as it is.
 * @throws MoveRefused, DataDirectoryError, NewerSchemaError, MetadataUnavailableError
 */
export async function moveMetadata({ directory, metadata, to, tell }: MoveRequest): Promise<Moved> {
  if (to === "postgres" && !existsSync(directory.database)) {
    throw new DataDirectoryError(`${directory.path} is no data directory of Berth; name it with --data`);
  }
  const postgres = await openPostgres(metadata);
  if (postgres === undefined) throw new MoveRefused("metadata.url is not set: name the database with --url");
  claimDataDirectory(directory);
  try {
    await migratePostgres(postgres);
    const connection = new SqliteConnection(directory.database, "write");
    try {
      migrate(connection);
      return to === "postgres"
        ? await moveToPostgres(connection, postgres, tell)
        : await moveToSqlite(postgres, connection, tell);
    } finally {
      connection.close();
    }
  } finally {
    releaseDataDirectory();
    await postgres.close();
  }
}
