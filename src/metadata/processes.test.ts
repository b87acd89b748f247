import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { errorCodec } from "../http/berth-error.ts";
import { RemoteWriter, serveWriter, type WriterReply, type WriterRequest } from "./ipc.ts";
import { migrate } from "./migrate.ts";
import { type Task, type TaskAnswer, testCommands, testSchema } from "./other-process.suite.ts";
import { SqliteConnection, SqliteDatabase, SqliteWriter } from "./sqlite.ts";
import { all, first } from "./statement.ts";

const { transfer, refuse, keep } = testCommands;
const program = fileURLToPath(import.meta.resolve("./other-process.suite.ts"));

let directory: string;
let path: string;
let child: ReturnType<typeof Bun.spawn> | undefined;
let database: SqliteDatabase;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "berth-processes-"));
  path = join(directory, "test.db");
  const connection = new SqliteConnection(path, "write");
  migrate(connection, testSchema);
  connection.close();
});
afterEach(async () => {
  child?.kill("SIGKILL");
  await child?.exited;
  database.close();
  rmSync(directory, { recursive: true });
});

type FromChild = { kind: "ready" } | WriterReply | WriterRequest | TaskAnswer;

/** Starts the other process with the channel that `berth serve` has to its children. */
async function startChild(
  role: "writer" | "client",
  receive: (message: Exclude<FromChild, { kind: "ready" }>) => void,
) {
  const { promise, resolve } = Promise.withResolvers<void>();
  const started = Bun.spawn([process.execPath, program, role, path], {
    stdio: ["ignore", "inherit", "inherit"],
    serialization: "advanced",
    ipc: (message: FromChild) => (message.kind === "ready" ? resolve() : receive(message)),
  });
  child = started;
  await promise;
  return started;
}

const book = async (): Promise<number[]> =>
  (await database.read(all<{ id: number }>("SELECT id FROM book ORDER BY id"))).map(({ id }) => id);

/** Both accounts and the number of entries, read by three statements of one read. */
function* state() {
  const from = yield* first<{ amount: number }>("SELECT amount FROM accounts WHERE name = 'from'");
  // Time for others to commit.
  yield* all("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) SELECT sum(i) FROM n");
  const entries = yield* first<{ count: number; total: number }>(
    "SELECT count(*) AS count, coalesce(sum(amount), 0) AS total FROM book",
  );
  const to = yield* first<{ amount: number }>("SELECT amount FROM accounts WHERE name = 'to'");
  return { from: from?.amount, to: to?.amount, count: entries?.count as number, total: entries?.total };
}

describe("a process that sends its commands to this one", () => {
  let ask: (task: TaskInput) => Promise<unknown>;
  beforeEach(async () => {
    const connection = new SqliteConnection(path, "write");
    const writer = new SqliteWriter(connection, [transfer, refuse, keep]);
    database = new SqliteDatabase(path, writer);
    const waiting = new Map<number, (answer: TaskAnswer) => void>();
    const serve = serveWriter(writer, (reply) => started.send(reply), errorCodec);
    const started = await startChild("client", (message) => {
      if (message.kind === "write") serve(message);
      else if (message.kind === "answer") waiting.get(message.id)?.(message);
    });
    let next = 0;
    ask = (task) =>
      new Promise((resolve, reject) => {
        const id = next++;
        waiting.set(id, (answer) => ("error" in answer ? reject(answer.error) : resolve(answer.value)));
        started.send({ ...task, id } as Task);
      });
  });

  test("reads what either wrote as soon as it is acknowledged, and so does this one", async () => {
    for (let entry = 1; entry <= 200; entry += 2) {
      expect(await ask({ kind: "transfer", amount: 1, entry })).toBe(entry);
      expect((await book()).at(-1)).toBe(entry);
      await database.write(transfer, { id: entry + 1, amount: 1 });
      expect((await ask({ kind: "book" })) as unknown[]).toHaveLength(entry + 1);
    }
  });

  test("is told of a refusal as it was thrown, and nothing of the command stands", async () => {
    await ask({ kind: "transfer", amount: 1, entry: 1 });
    expect(await ask({ kind: "refuse", digest: "d" }).catch((error: unknown) => error)).toEqual({
      name: "BerthError",
      code: "BLOB_UNKNOWN",
      message: "Not that one.",
      detail: { digest: "d" },
      others: [{ message: "nor that" }],
    });
    const twice = await ask({ kind: "transfer", amount: 1, entry: 1 }).catch((error: unknown) => error);
    expect(twice).toMatchObject({ name: "Error", message: expect.stringMatching(/unique/i) as unknown });
    expect(await book()).toEqual([1]);
  });

  test("sends and gets bytes as they are, also many", async () => {
    for (const [entry, size] of [0, 1, 70_000, 6_000_000].entries()) {
      const payload = crypto.getRandomValues(new Uint8Array(Math.min(size, 65_536)));
      const whole = new Uint8Array(size).map((_, i) => (payload[i % 65_536] as number) ^ (i >> 16));
      const kept = (await ask({ kind: "keep", entry, payload: whole })) as { size: number; payload: Uint8Array };
      expect(kept.size).toBe(size);
      expect(Buffer.compare(kept.payload, whole)).toBe(0);
      const row = await database.readRow<{ payload: Uint8Array }>("SELECT payload FROM payloads WHERE id = ?", entry);
      expect(Buffer.compare(row?.payload as Uint8Array, whole)).toBe(0);
    }
  });

  test("sees the change count move with each commit of this one, and stand still without", async () => {
    const seen = new Set<unknown>([await ask({ kind: "changes" })]);
    for (let id = 1; id <= 20; id++) {
      await database.write(transfer, { id, amount: 1 });
      const count = await ask({ kind: "changes" });
      expect(seen.has(count)).toBe(false);
      seen.add(count);
      expect(await ask({ kind: "changes" })).toBe(count);
    }
  });
});

describe("a process that writes", () => {
  let remote: RemoteWriter;
  const startWriter = async (): Promise<void> => {
    const started = await startChild("writer", (message) => {
      if (message.kind === "written") remote.receive(message);
    });
    remote = new RemoteWriter((request) => started.send(request), errorCodec);
    database = new SqliteDatabase(path, remote);
  };

  test("shows no half of a command, and no two states to one read", async () => {
    await startWriter();
    let running = true;
    let entry = 0;
    const writing = (async () => {
      while (running) {
        const group = Array.from({ length: 20 }, () => database.write(transfer, { id: ++entry, amount: entry % 7 }));
        await Promise.all([...group, database.write(refuse, { digest: "d" }).catch(() => {})]);
      }
    })();
    const counts = new Set<number>();
    while (counts.size < 60) {
      const { from, to, count, total } = await database.read(state());
      expect({ from, to }).toEqual({ from: total === 0 ? 0 : -(total as number), to: total });
      counts.add(count);
      await Bun.sleep(0);
    }
    running = false;
    await writing;
    expect((await book()).length).toBe(entry);
  });

  test("that is killed loses nothing it acknowledged, and after it nothing happens twice", async () => {
    await startWriter();
    let next = 1;
    let largestSent = 0;
    const acknowledged: number[] = [];
    for (let round = 0; round < 3; round++) {
      const kill = child as NonNullable<typeof child>;
      const target = acknowledged.length + 200;
      const client = async (): Promise<void> => {
        while (acknowledged.length < target) {
          const id = next++;
          largestSent = id;
          const done = database.write(transfer, { id, amount: 1 }).then(() => acknowledged.push(id));
          await Promise.race([done, kill.exited]);
          if (kill.killed) return;
        }
        kill.kill("SIGKILL");
      };
      await Promise.all(Array.from({ length: 16 }, client));
      await kill.exited;
      database.close();
      await startWriter();
      const present = await book();
      expect(acknowledged.filter((id) => !present.includes(id))).toEqual([]);
      expect(present.at(-1)).toBeLessThanOrEqual(largestSent);
      // Each entry once, with all that belongs to it.
      expect(await database.read(state())).toEqual({
        from: -present.length,
        to: present.length,
        count: present.length,
        total: present.length,
      });
    }
  });
});

type TaskInput = Task extends infer Each ? (Each extends { id: number } ? Omit<Each, "id"> : never) : never;
