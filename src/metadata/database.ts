import type { SqlValue, Steps } from "./statement.ts";

/**
 * A change of the metadata: plain data in, plain data out, one transaction. `name` is unique in the program, since
 * the process that runs a command may be another than the one that asks for it.
 */
export interface Command<Input, Output> {
  readonly name: string;
  steps(input: Input): Steps<Output>;
}

export function command<Input, Output>(name: string, steps: (input: Input) => Steps<Output>): Command<Input, Output> {
  return { name, steps };
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
   * the sign for caches to look whether what they hold still stands. Costs about two microseconds.
   */
  changeCount(): number;
}

/** Runs commands for whoever holds a way to them: in this process or, through IPC, in the supervisor. */
export interface Writer {
  write(name: string, input: unknown): Promise<unknown>;
}
