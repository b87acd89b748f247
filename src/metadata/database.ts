import type { SqlValue, Steps } from "./statement.ts";

/**
 * A change of the metadata: plain data in, plain data out, one transaction. `name` is unique in the program, since
 * the process that runs a command may be another than the one that asks for it.
 */
export interface Command<Input, Output> {
  readonly name: string;
  readonly scope: Scope<Input>;
  steps(input: Input): Steps<Output>;
}

/**
 * What a command has to itself while it runs, on a database that runs several at a time: with `everything` it runs
 * alone; with `nothing` beside any command that does not; else beside those that name something else. Commands that
 * can run at the same time must not depend on each other but by constraints of the schema.
 */
export type Scope<Input> = "everything" | "nothing" | ((input: Input) => string);

export function command<Input, Output>(
  name: string,
  steps: (input: Input) => Steps<Output>,
  scope: Scope<Input> = "everything",
): Command<Input, Output> {
  return { name, steps, scope };
}

/**
 * The metadata, as the rooms see it.
 *
 * A write is acknowledged (its promise resolves) once it is durable; one that throws has left no trace. A read sees
 * every write acknowledged before it began, by whichever process; the statements of one read see one state.
 */
export interface Database {
  read<T>(steps: Steps<T>): Promise<T>;
  /** The first row of a single query: a `read` of one statement, for hot paths. */
  readRow<R>(sql: string, ...params: SqlValue[]): Promise<R | undefined>;
  write<Input, Output>(command: Command<Input, Output>, input: Input): Promise<Output>;
  /**
   * A number that differs from an earlier one if anything was committed in between by another connection:
   * the sign for caches to look whether what they hold still stands. In a file that costs two microseconds; over a
   * network, where it is a question like others, only what the versions vouch for counts (see freshness.ts).
   */
  changeCount(): number | Promise<number>;
  /** How often, in ms, it may well be asked whether there is anything new: a question in a file costs next to nothing. */
  readonly lookEach: number;
  close(): void | Promise<void>;
}

/** The database does not answer, or could not be brought to: nothing is known to have happened. */
export class MetadataUnavailableError extends Error {
  override readonly name = "MetadataUnavailableError";
}

/** Runs commands for whoever holds a way to them: in this process or, through IPC, in the supervisor. */
export interface Writer {
  write(name: string, input: unknown): Promise<unknown>;
}
