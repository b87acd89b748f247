import { createHash } from "node:crypto";
import pRetry from "p-retry";
import pg from "pg";
import { type Command, type Database, MetadataUnavailableError } from "./database.ts";
import { isSingle, type Row, type SqlValue, type Statement, type Steps } from "./statement.ts";

export interface PostgresSettings {
  /** `postgres://USER@HOST/DATABASE`, with libpq's `sslmode` and `sslrootcert`. */
  url: string;
  password: string | undefined;
  /** Most connections of this process. */
  connections: number;
  /** Off behind a pooler that gives each transaction another connection and does not know prepared statements. */
  prepared: boolean;
}

/** How long a command is tried anew while the database cannot be reached or puts it off, in ms. */
const patience = 10_000;
/** How long an answer is waited for: of a connection, of a statement, of a lock. In ms. */
const connectTimeout = 5000;
const queryTimeout = 30_000;
/** The same for the schema and for copies. */
const longQueryTimeout = 3_600_000;
const lockTimeout = 20_000;
/** A process that was stopped in a transaction must not keep others from the locks for longer, in ms. */
const idleTimeout = 10_000;
/** Statements that a connection keeps prepared: the fixed ones; queries that are put together come unnamed. */
const maxPrepared = 500;

/** The lock that every command shares, or has alone. Two numbers: apart from the single ones that scopes hash to. */
const commandLock = "66, 1";

/**
 * The metadata in PostgreSQL. A command is one transaction, beside those of other scopes, here and in other replicas:
 *
 *     BEGIN; SELECT pg_advisory_xact_lock_shared(commands), pg_advisory_xact_lock(SCOPE)     one round trip
 *     statement …                                                                            one each
 *     COMMIT
 *
 * The locks end with the transaction: nothing is kept in a session, so that a pooler may give each transaction another
 * connection. With them each statement may see what was committed before it (READ COMMITTED).
 */
export class PostgresDatabase implements Database {
  readonly lookEach = 500;
  /** Apart from each other: commands that wait for a lock must not keep pulls from their connections. */
  readonly #reads: pg.Pool;
  readonly #writes: pg.Pool;
  readonly #prepared: boolean;
  readonly #texts = new Map<string, { text: string; name: string | undefined }>();

  constructor({ url, password, connections, prepared }: PostgresSettings) {
    this.#prepared = prepared;
    // What the address says goes before any other setting, also where it says nothing: the password has to stand in it.
    const address = new URL(url);
    if (password !== undefined) address.password = encodeURIComponent(password);
    const pool = (max: number): pg.Pool => {
      const made = new pg.Pool({
        connectionString: address.href,
        max,
        application_name: "berth",
        connectionTimeoutMillis: connectTimeout,
        query_timeout: queryTimeout,
        keepAlive: true,
        types: { getTypeParser },
      });
      // A connection that breaks while nobody uses it: the pool makes another. One that breaks in use says so twice: to
      // the statement that waits, and as an event, which unheard would end the process.
      made.on("error", () => {});
      made.on("connect", (client) => client.on("error", () => {}));
      return made;
    };
    this.#reads = pool(Math.ceil(connections / 2));
    this.#writes = pool(Math.floor(connections / 2));
  }

  async readRow<R>(sql: string, ...params: SqlValue[]): Promise<R | undefined> {
    return (await this.#readOne({ sql, params, rows: true }))[0] as R | undefined;
  }

  async read<T>(steps: Steps<T>): Promise<T> {
    if (isSingle(steps)) {
      const { value } = steps.next() as { value: Statement };
      return steps.next(await this.#readOne(value)).value as T;
    }
    // Once a statement has run it is too late to begin anew: the steps are not made a second time.
    const opening = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    const client = await this.#patiently(() => this.#begin(this.#reads, opening));
    return this.#inTransaction(client, () => this.#run(client, steps)).catch((error: unknown) => {
      throw isTransient(error) ? unavailable(error) : error;
    });
  }

  async write<Input, Output>(command: Command<Input, Output>, input: Input): Promise<Output> {
    const opening = openingOf(command, input);
    return this.#patiently(async () => {
      const client = await this.#begin(this.#writes, opening);
      return this.#inTransaction(client, () => this.#run(client, command.steps(input)));
    });
  }

  /** The sum of the versions, each of which only grows. */
  async changeCount(): Promise<number> {
    return (await this.readRow<{ n: number }>("SELECT sum(value) AS n FROM versions"))?.n ?? 0;
  }

  /** Work on all there is, in one transaction beside which no command runs, however long it takes. */
  async alone<T>(
    work: (execute: (sql: string, params?: readonly unknown[]) => Promise<Row[]>) => Promise<T>,
  ): Promise<T> {
    const opening = `BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock(${commandLock})`;
    const client = await this.#begin(this.#writes, opening);
    const execute = (text: string, params: readonly unknown[] = []): Promise<Row[]> =>
      ask(client, { text, values: [...params], query_timeout: longQueryTimeout });
    return this.#inTransaction(client, () => work(execute));
  }

  /** Several statements without parameters, as one transaction of its own; for the schema. */
  async execute(sql: string): Promise<void> {
    await this.#patiently(async () => {
      const client = await connect(this.#writes);
      try {
        await ask(client, { text: sql, query_timeout: longQueryTimeout });
        client.release();
      } catch (error) {
        client.release(true);
        throw error;
      }
    });
  }

  async close(): Promise<void> {
    await Promise.all([this.#reads.end(), this.#writes.end()]);
  }

  async #readOne(statement: Statement): Promise<Row[]> {
    return this.#patiently(async () => {
      const client = await connect(this.#reads);
      try {
        const rows = await this.#execute(client, statement);
        client.release();
        return rows;
      } catch (error) {
        client.release(error instanceof ConnectionLost);
        throw error;
      }
    });
  }

  /** A connection on which a transaction has begun. */
  async #begin(pool: pg.Pool, opening: string): Promise<pg.PoolClient> {
    const client = await connect(pool);
    try {
      await ask(client, { text: opening });
      return client;
    } catch (error) {
      client.release(true);
      throw error;
    }
  }

  /** Commits what `work` did, or undoes it. What comes back from a COMMIT that was cut off is not known: see `patiently`. */
  async #inTransaction<T>(client: pg.PoolClient, work: () => Promise<T>): Promise<T> {
    let output: T;
    try {
      output = await work();
    } catch (error) {
      // On a connection that does not answer, a ROLLBACK would wait once more; the server does it when it is gone.
      if (error instanceof ConnectionLost) client.release(true);
      else {
        await ask(client, { text: "ROLLBACK" }).then(
          () => client.release(),
          () => client.release(true),
        );
      }
      throw error;
    }
    try {
      await ask(client, { text: "COMMIT" });
    } catch (error) {
      client.release(true);
      throw isPutOff(error) ? error : unavailable(error);
    }
    client.release();
    return output;
  }

  /** Runs `steps` to their end. An error of a statement ends them, whatever they make of it: the transaction is lost. */
  async #run<T>(client: pg.PoolClient, steps: Steps<T>): Promise<T> {
    let next = steps.next();
    while (next.done !== true) {
      let rows: Row[];
      try {
        rows = await this.#execute(client, next.value);
      } catch (error) {
        steps.throw(error);
        throw error;
      }
      next = steps.next(rows);
    }
    return next.value;
  }

  async #execute(client: pg.PoolClient, { sql, params, isAdHoc }: Statement): Promise<Row[]> {
    const { text, name } = isAdHoc === true ? { text: toPostgres(sql), name: undefined } : this.#textOf(sql);
    return ask(client, { text, values: params.map(storable), ...(name !== undefined && { name }) });
  }

  #textOf(sql: string): { text: string; name: string | undefined } {
    const known = this.#texts.get(sql);
    if (known !== undefined) return known;
    const isFixed = this.#texts.size < maxPrepared;
    const made = { text: toPostgres(sql), name: this.#prepared && isFixed ? `s${this.#texts.size}` : undefined };
    if (isFixed) this.#texts.set(sql, made);
    return made;
  }

  /** Tries anew what has certainly not happened: with growing, random pauses, until the patience ends. */
  async #patiently<T>(attempt: () => Promise<T>): Promise<T> {
    const until = performance.now() + patience;
    try {
      return await pRetry(attempt, {
        retries: 50,
        minTimeout: 10,
        maxTimeout: 500,
        factor: 2,
        randomize: true,
        maxRetryTime: patience,
        shouldRetry: ({ error }) => isTransient(error) && performance.now() < until,
      });
    } catch (error) {
      throw isTransient(error) ? unavailable(error) : error;
    }
  }
}

/** The database could not be reached, or was not heard of again: not its own answer. */
class ConnectionLost extends Error {
  override readonly name = "ConnectionLost";
}

async function connect(pool: pg.Pool): Promise<pg.PoolClient> {
  try {
    return await pool.connect();
  } catch (error) {
    throw lost(error);
  }
}

/** @throws pg.DatabaseError, the database's own answer, or ConnectionLost */
async function ask(client: pg.PoolClient, query: pg.QueryConfig & { query_timeout?: number }): Promise<Row[]> {
  try {
    return (await client.query(query)).rows as Row[];
  } catch (error) {
    throw lost(error);
  }
}

function lost(error: unknown): unknown {
  if (error instanceof pg.DatabaseError) return error;
  return new ConnectionLost((error as Error).message, { cause: error });
}

/** What begins a command's transaction, with its locks. */
function openingOf<Input>({ scope }: Command<Input, unknown>, input: Input): string {
  const locks =
    scope === "everything"
      ? `pg_advisory_xact_lock(${commandLock})`
      : scope === "nothing"
        ? `pg_advisory_xact_lock_shared(${commandLock})`
        : `pg_advisory_xact_lock_shared(${commandLock}), pg_advisory_xact_lock(${hash(scope(input))})`;
  return (
    `BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = ${lockTimeout}; ` +
    `SET LOCAL idle_in_transaction_session_timeout = ${idleTimeout}; SELECT ${locks}`
  );
}

function hash(scope: string): string {
  return createHash("sha256").update(scope).digest().readBigInt64BE().toString();
}

/** In the dialect of the program to PostgreSQL's: numbered parameters, and names that keep their upper case. */
export function toPostgres(sql: string): string {
  let count = 0;
  return sql.replaceAll(/'(?:[^']|'')*'|\?|\bAS ([a-z]+[A-Z]\w*)/g, (match, alias: string | undefined) => {
    if (match === "?") return `$${++count}`;
    return alias === undefined ? match : `AS "${alias}"`;
  });
}

const oids = { bool: 16, int8: 20, numeric: 1700 };

/** Numbers as numbers (no id, size or time is above 2^53), truth values as 0 and 1, as in SQLite. */
function getTypeParser(oid: number): (value: string) => unknown {
  if (oid === oids.int8 || oid === oids.numeric) return Number;
  if (oid === oids.bool) return (value) => (value === "t" ? 1 : 0);
  return parserOf(oid, "text");
}

const parserOf = pg.types.getTypeParser as (oid: number, format: "text") => (value: string) => unknown;

/** PostgreSQL has no text with the character U+0000, and nothing that is kept needs it. */
function storable(value: SqlValue): SqlValue {
  return typeof value === "string" && value.includes("\0") ? value.replaceAll("\0", "\uFFFD") : value;
}

/** The database undid a transaction for the sake of another: nothing of it has happened. */
const putOff = new Set(["40001", "40P01"]);
/**
 * The database is going down, coming up, full of connections, or still a standby; or it ended a session that was silent.
 * [PostgreSQL, appendix A, "PostgreSQL Error Codes"]
 */
const awayCodes = new Set(["57P01", "57P02", "57P03", "53300", "25006", "25P03", "55P03", "57014"]);
function isPutOff(error: unknown): boolean {
  return putOff.has((error as { code?: string }).code ?? "");
}

function isTransient(error: unknown): boolean {
  if (error instanceof MetadataUnavailableError) return false;
  if (error instanceof ConnectionLost) return true;
  const { code = "" } = error as { code?: string };
  return error instanceof pg.DatabaseError && (putOff.has(code) || awayCodes.has(code) || code.startsWith("08"));
}

function unavailable(cause: unknown): MetadataUnavailableError {
  return new MetadataUnavailableError(`the database does not answer: ${(cause as Error).message}`, { cause });
}
