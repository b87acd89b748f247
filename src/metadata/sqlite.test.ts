import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "bun:test";
import { RemoteWriter, serveWriter, type WriterReply } from "./ipc.ts";
import { metadataSuite, suiteCommands } from "./metadata.suite.ts";
import { migrate, NewerSchemaError } from "./migrate.ts";
import { migrations } from "./schema.ts";
import { SqliteConnection, SqliteDatabase, SqliteWriter } from "./sqlite.ts";
import { first, run } from "./statement.ts";

const errorCodec = {
  encode: (error: unknown) => (error as Error).message,
  decode: (message: unknown) => new Error(message as string),
};

function makeFile() {
  const directory = mkdtempSync(join(tmpdir(), "berth-metadata-"));
  const path = join(directory, "berth.db");
  const connection = new SqliteConnection(path, "write");
  migrate(connection);
  const remove = (): Promise<void> => {
    connection.close();
    rmSync(directory, { recursive: true, force: true });
    return Promise.resolve();
  };
  return { path, connection, remove };
}

metadataSuite("SQLite, one process", () => {
  const { path, connection, remove } = makeFile();
  const writer = new SqliteWriter(connection, suiteCommands);
  return Promise.resolve({ open: () => new SqliteDatabase(path, writer), remove });
});

metadataSuite("SQLite, commands by message", () => {
  const { path, connection, remove } = makeFile();
  const writer = new SqliteWriter(connection, suiteCommands);
  const open = (): SqliteDatabase => {
    // What crosses between processes is copied, as between processes.
    const remote: RemoteWriter = new RemoteWriter((request) => receive(structuredClone(request)), errorCodec);
    const receive = serveWriter(writer, (reply: WriterReply) => remote.receive(structuredClone(reply)), errorCodec);
    return new SqliteDatabase(path, remote);
  };
  return Promise.resolve({ open, remove });
});

test("a migration that fails leaves nothing of itself", async () => {
  const { connection, remove } = makeFile();
  const broken = { version: 999, statements: ["CREATE TABLE half (a)", "CREATE TABLE"] };
  expect(() => migrate(connection, [...migrations, broken])).toThrow();
  expect(connection.run(first("SELECT name FROM sqlite_master WHERE name = 'half'"))).toBeUndefined();
  migrate(connection);
  await remove();
});

test("a schema of a later version is refused and not touched", async () => {
  const { connection, remove } = makeFile();
  connection.run(run("INSERT INTO schema_migrations (version, applied_at) VALUES (999, 0)"));
  expect(() => migrate(connection)).toThrow(NewerSchemaError);
  await remove();
});
