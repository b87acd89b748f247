import { readFileSync } from "node:fs";
import type { Command, Database, Writer } from "../metadata/database.ts";
import { migrate, migratePostgres } from "../metadata/migrate.ts";
import { SqliteConnection, SqliteDatabase, SqliteWriter } from "../metadata/sqlite.ts";
import type { DataDirectory } from "./data-directory.ts";
import type { Settings } from "./options.ts";

export type MetadataSettings = Pick<
  Settings,
  "metadataUrl" | "metadataPasswordFile" | "metadataConnections" | "metadataPrepared"
>;

/** The metadata as the first process of a server holds it. */
export interface Metadata {
  database: Database;
  /** Runs the commands of the processes below; they do without where each can write for itself. */
  writer: Writer | undefined;
  close(): Promise<void>;
}

/** Brings the schema forward and opens the metadata to write. @throws NewerSchemaError, MetadataUnavailableError */
export async function openMetadata(
  settings: MetadataSettings,
  directory: DataDirectory,
  commands: readonly Command<never, unknown>[],
): Promise<Metadata> {
  const postgres = await openPostgres(settings);
  if (postgres !== undefined) {
    await migratePostgres(postgres);
    return { database: postgres, writer: undefined, close: () => postgres.close() };
  }
  const connection = new SqliteConnection(directory.database, "write");
  migrate(connection);
  const writer = new SqliteWriter(connection, commands);
  const database = new SqliteDatabase(directory.database, writer);
  const close = (): Promise<void> => {
    database.close();
    connection.close();
    return Promise.resolve();
  };
  return { database, writer, close };
}

/** The metadata as the other processes use it. */
export async function openDatabase(
  settings: MetadataSettings,
  directory: DataDirectory,
  writer: Writer,
): Promise<Database> {
  return (await openPostgres(settings)) ?? new SqliteDatabase(directory.database, writer);
}

/** `undefined` where the metadata is a file. */
export async function openPostgres(settings: MetadataSettings) {
  const { metadataUrl: url, metadataPasswordFile: passwordFile } = settings;
  if (url === undefined) return undefined;
  // Who keeps the metadata in a file does not load it.
  const { PostgresDatabase } = await import("../metadata/postgres.ts");
  return new PostgresDatabase({
    url,
    password: passwordFile === undefined ? undefined : readFileSync(passwordFile, "utf8").trim(),
    connections: settings.metadataConnections,
    prepared: settings.metadataPrepared,
  });
}
