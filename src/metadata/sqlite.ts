import { Database as Connection, type Statement as Prepared } from "bun:sqlite";
import type { Command, Database, Writer } from "./database.ts";
import type { Row, SqlValue, Statement, Steps } from "./statement.ts";

const begin: Statement = { sql: "BEGIN", params: [], rows: false };
const commit: Statement = { sql: "COMMIT", params: [], rows: false };

/** Prepared statements kept by a connection; a query with a list has a few lengths (see `inList`). */
const maxPrepared = 500;

export class SqliteConnection {
  readonly #connection: Connection;
  readonly #prepared = new Map<string, Prepared>();

  /** @param mode `write`: the one connection that commits; `read`: any number beside it. */
  constructor(path: string, mode: "read" | "write") {
    this.#connection = new Connection(path, mode === "write" ? { create: true, readwrite: true } : { readonly: true });
    this.exec("PRAGMA busy_timeout = 5000");
    if (mode === "write") {
      this.exec("PRAGMA journal_mode = WAL");
      this.exec("PRAGMA synchronous = FULL");
      this.exec("PRAGMA foreign_keys = ON");
      this.exec("PRAGMA wal_autocheckpoint = 4000");
    }
    // KiB; the readers' pages are in the system's cache too, once for all of them.
    this.exec(`PRAGMA cache_size = ${mode === "write" ? -32_000 : -8000}`);
  }

  /** A statement of which nothing is wanted back. */
  exec(sql: string): void {
    this.execute({ sql, params: [], rows: false });
  }

  execute(statement: Statement): Row[] {
    const prepared = this.#prepare(statement.sql);
    const params = statement.params as SqlValue[];
    if (statement.rows) return prepared.all(...params) as Row[];
    prepared.run(...params);
    return [];
  }

  /** The first row of a query. */
  get(sql: string, params: SqlValue[]): Row | undefined {
    return (this.#prepare(sql).get(...params) as Row | null) ?? undefined;
  }

  /** Runs `steps` to their end. An error of a statement ends them; it goes through their `finally` blocks. */
  run<T>(steps: Steps<T>): T {
    let next = steps.next();
    while (next.done !== true) {
      let rows: Row[];
      try {
        rows = this.execute(next.value);
      } catch (error) {
        steps.throw(error);
        throw error;
      }
      next = steps.next(rows);
    }
    return next.value;
  }

  close(): void {
    for (const prepared of this.#prepared.values()) prepared.finalize();
    this.#prepared.clear();
    this.#connection.close();
  }

  #prepare(sql: string): Prepared {
    let prepared = this.#prepared.get(sql);
    if (prepared === undefined) {
      if (this.#prepared.size >= maxPrepared) {
        const [oldest, statement] = this.#prepared.entries().next().value as [string, Prepared];
        statement.finalize();
        this.#prepared.delete(oldest);
      }
      prepared = this.#connection.prepare(sql);
      this.#prepared.set(sql, prepared);
    }
    return prepared;
  }
}

/**
 * The one process's way to commit: commands that arrive while a group is being written form the next group.
 *
 *     BEGIN IMMEDIATE
 *       SAVEPOINT c; command 1; RELEASE c      on error: ROLLBACK TO c, the others stand
 *       SAVEPOINT c; command 2; RELEASE c
 *     COMMIT                                   one fsync for all
 *     answer each                              only now
 *
 * If COMMIT itself fails (a full disk), every command of the group fails with that error and none has happened.
 */
export class SqliteWriter implements Writer {
  readonly #connection: SqliteConnection;
  readonly #commands: ReadonlyMap<string, Command<unknown, unknown>>;
  #queue: Pending[] = [];
  #scheduled = false;

  constructor(connection: SqliteConnection, commands: readonly Command<never, unknown>[]) {
    this.#connection = connection;
    this.#commands = new Map(commands.map((each) => [each.name, each as Command<unknown, unknown>]));
    if (this.#commands.size !== commands.length) throw new Error("two commands have the same name");
  }

  write(name: string, input: unknown): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ name, input, resolve, reject });
      if (!this.#scheduled) {
        this.#scheduled = true;
        setImmediate(() => this.#commitGroup());
      }
    });
  }

  #commitGroup(): void {
    this.#scheduled = false;
    const group = this.#queue.splice(0, maxGroup);
    if (this.#queue.length > 0) {
      this.#scheduled = true;
      setImmediate(() => this.#commitGroup());
    }
    const answers: (() => void)[] = [];
    try {
      this.#connection.exec("BEGIN IMMEDIATE");
      for (const pending of group) answers.push(this.#runOne(pending));
      this.#connection.exec("COMMIT");
    } catch (error) {
      this.#rollback();
      for (const pending of group) pending.reject(error);
      return;
    }
    for (const answer of answers) answer();
  }

  #runOne(pending: Pending): () => void {
    const known = this.#commands.get(pending.name);
    if (known === undefined) return () => pending.reject(new Error(`unknown command: ${pending.name}`));
    this.#connection.exec("SAVEPOINT c");
    try {
      const output = this.#connection.run(known.steps(pending.input));
      this.#connection.exec("RELEASE c");
      return () => pending.resolve(output);
    } catch (error) {
      this.#undo(error);
      return () => pending.reject(error);
    }
  }

  /** @throws cause, if it has undone the whole transaction already, as a full disk does */
  #undo(cause: unknown): void {
    try {
      this.#connection.exec("ROLLBACK TO c");
      this.#connection.exec("RELEASE c");
    } catch {
      throw cause;
    }
  }

  #rollback(): void {
    try {
      this.#connection.exec("ROLLBACK");
    } catch {
      // SQLite has rolled back already.
    }
  }
}

/** Bounds how long one group keeps the connection, and so the latency of the first command in it. */
const maxGroup = 256;

interface Pending {
  name: string;
  input: unknown;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

/** The metadata in a SQLite file: reads on a connection of this process's own, writes through `writer`. */
export class SqliteDatabase implements Database {
  readonly lookEach = 25;
  readonly #reader: SqliteConnection;
  readonly #writer: Writer;

  constructor(path: string, writer: Writer) {
    this.#reader = new SqliteConnection(path, "read");
    this.#writer = writer;
  }

  // Async by contract: a driver over the network cannot answer at once.
  // eslint-disable-next-line @typescript-eslint/require-await
  async read<T>(steps: Steps<T>): Promise<T> {
    this.#reader.execute(begin);
    try {
      return this.#reader.run(steps);
    } finally {
      this.#reader.execute(commit);
    }
  }

  // eslint-disable-next-line @typescript-eslint/require-await
  async readRow<R>(sql: string, ...params: SqlValue[]): Promise<R | undefined> {
    return this.#reader.get(sql, params) as R | undefined;
  }

  async write<Input, Output>(command: Command<Input, Output>, input: Input): Promise<Output> {
    return (await this.#writer.write(command.name, input)) as Output;
  }

  // Not read from the WAL index directly, though that is memory: a process that opens and closes the file, as a map
  // of it does, loses SQLite's locks on it, and the next process to come truncates it under everyone (SIGBUS).
  changeCount(): number {
    return this.#reader.get("PRAGMA data_version", [])?.data_version as number;
  }

  close(): void {
    this.#reader.close();
  }
}
