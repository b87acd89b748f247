/** What a column or parameter may hold. Times are milliseconds since the epoch, truth values 0 and 1. */
export type SqlValue = string | number | null | Uint8Array;
export type Row = Record<string, SqlValue>;

/** One SQL statement in the dialect that both databases read, with `?` for each parameter. */
export interface Statement {
  sql: string;
  params: readonly SqlValue[];
  /** Whether rows are wanted back. */
  rows: boolean;
  /** It is put together anew each time, and not worth preparing. */
  isAdHoc?: boolean;
}

/**
 * Work on the database, written once for every driver: a generator yields statements and is resumed with their
 * rows. SQLite runs it to its end without a pause; PostgreSQL awaits each statement. A thrown error undoes the
 * whole, and so does one of a statement, caught or not; a generator must have no other effect than its statements,
 * because a driver may run it again.
 */
export type Steps<T> = Generator<Statement, T, Row[]>;

const single = Symbol("single");

/** Whether the steps are one query and no more: a driver then needs no transaction around them. */
export function isSingle(steps: Steps<unknown>): boolean {
  return single in steps;
}

/** All rows of a query. */
export function all<R>(sql: string, ...params: SqlValue[]): Steps<R[]> {
  return Object.assign(query<R>(sql, params), { [single]: true });
}

/** All rows of a query that is put together from what somebody asks. */
export function adHoc<R>(sql: string, ...params: SqlValue[]): Steps<R[]> {
  return Object.assign(query<R>(sql, params, true), { [single]: true });
}

/** The first row of a query, or `undefined`. */
export function first<R>(sql: string, ...params: SqlValue[]): Steps<R | undefined> {
  return Object.assign(firstOf<R>(sql, params), { [single]: true });
}

/** A statement whose rows, if it has any, nobody wants. */
export function* run(sql: string, ...params: SqlValue[]): Steps<void> {
  yield { sql, params, rows: false };
}

function* query<R>(sql: string, params: readonly SqlValue[], isAdHoc = false): Steps<R[]> {
  return (yield { sql, params, rows: true, isAdHoc }) as R[];
}

function* firstOf<R>(sql: string, params: readonly SqlValue[]): Steps<R | undefined> {
  return (yield { sql, params, rows: true })[0] as R | undefined;
}

/**
 * `?, ?, …` for an IN list. Its length is rounded up to a power of two, so that lists of all lengths share a few
 * prepared statements; `padded` repeats the last value to fit.
 */
export function inList(values: readonly SqlValue[]): { marks: string; padded: SqlValue[] } {
  const length = 2 ** Math.ceil(Math.log2(Math.max(values.length, 1)));
  const padded = Array.from({ length }, (_, i) => values[Math.min(i, values.length - 1)] ?? null);
  return { marks: padded.map(() => "?").join(", "), padded };
}
