import { errorCodec } from "../http/berth-error.ts";
import { BerthError } from "../http/berth-error.ts";
import { command } from "./database.ts";
import { RemoteWriter, serveWriter, type WriterReply, type WriterRequest } from "./ipc.ts";
import { SqliteConnection, SqliteDatabase, SqliteWriter } from "./sqlite.ts";
import { all, first, run, type Steps } from "./statement.ts";

/*
 * The other process of processes.test.ts, as `berth serve` has them: one that holds the connection that writes, or
 * one that sends it commands. Started with the role and the database's path.
 */

/** Adds a line to the book and moves the amount from one account to the other: their sum never changes. */
const transfer = command("test.transfer", function* (input: { id: number; amount: number }) {
  yield* run("INSERT INTO book (id, amount) VALUES (?, ?)", input.id, input.amount);
  yield* run("UPDATE accounts SET amount = amount - ? WHERE name = 'from'", input.amount);
  yield* run("UPDATE accounts SET amount = amount + ? WHERE name = 'to'", input.amount);
  return input.id;
});

const refuse = command("test.refuse", function* (input: { digest: string }): Steps<void> {
  yield* run("DELETE FROM book");
  throw new BerthError("BLOB_UNKNOWN", "Not that one.", { detail: input, others: [{ message: "nor that" }] });
});

const keep = command("test.keep", function* (input: { id: number; payload: Uint8Array }) {
  yield* run("INSERT INTO payloads (id, payload) VALUES (?, ?)", input.id, input.payload);
  const row = yield* first<{ size: number }>("SELECT length(payload) AS size FROM payloads WHERE id = ?", input.id);
  return { size: row?.size, payload: input.payload };
});

export const testCommands = { transfer, refuse, keep };
export const testSchema = [
  {
    version: 1,
    statements: [
      "CREATE TABLE accounts (name TEXT PRIMARY KEY, amount INTEGER NOT NULL)",
      "INSERT INTO accounts VALUES ('from', 0), ('to', 0)",
      "CREATE TABLE book (id INTEGER PRIMARY KEY, amount INTEGER NOT NULL)",
      "CREATE TABLE payloads (id INTEGER PRIMARY KEY, payload BLOB NOT NULL)",
    ],
  },
];

/** What the process that sends commands is asked to do; each gets an answer with its `id`. */
export type Task = { id: number } & (
  | { kind: "transfer"; amount: number; entry: number }
  | { kind: "refuse"; digest: string }
  | { kind: "keep"; entry: number; payload: Uint8Array }
  | { kind: "book" }
  | { kind: "changes" }
);
export type TaskAnswer = { kind: "answer"; id: number; value: unknown } | { kind: "answer"; id: number; error: object };

function holdWriter(path: string): void {
  const commands = [transfer, refuse, keep];
  const writer = new SqliteWriter(new SqliteConnection(path, "write"), commands);
  const serve = serveWriter(writer, (reply) => process.send?.(reply), errorCodec);
  process.on("message", (request: WriterRequest) => serve(request));
}

function sendCommands(path: string): void {
  const writer = new RemoteWriter((request) => process.send?.(request), errorCodec);
  const database = new SqliteDatabase(path, writer);
  const perform = (task: Task): unknown => {
    if (task.kind === "transfer") return database.write(transfer, { id: task.entry, amount: task.amount });
    if (task.kind === "refuse") return database.write(refuse, { digest: task.digest });
    if (task.kind === "keep") return database.write(keep, { id: task.entry, payload: task.payload });
    if (task.kind === "changes") return database.changeCount();
    return database.read(all<{ id: number }>("SELECT id FROM book ORDER BY id"));
  };
  process.on("message", (message: Task | WriterReply) => {
    if (message.kind === "written") return writer.receive(message);
    void (async () => {
      const { id } = message;
      try {
        process.send?.({ kind: "answer", id, value: await perform(message) });
      } catch (error) {
        const { name, message: text } = error as Error;
        const fields =
          error instanceof BerthError ? { code: error.code, detail: error.detail, others: error.others } : {};
        process.send?.({ kind: "answer", id, error: { name, message: text, ...fields } });
      }
    })();
  });
}

if (import.meta.main) {
  const [role, path] = process.argv.slice(2) as [string, string];
  if (role === "writer") holdWriter(path);
  else sendCommands(path);
  process.send?.({ kind: "ready" });
}
