import type { Result } from "./noun.ts";

/** A column of a list: its title and what an item has there. */
export type Column<T> = readonly [title: string, cell: (item: T) => string | number | boolean | undefined];

export function listResult<T>(items: readonly T[], columns: readonly Column<T>[]): Result {
  const head = columns.map(([title]) => title);
  return { json: items, table: { head, rows: items.map((item) => columns.map(([, cell]) => textOf(cell(item)))) } };
}

/** One thing with all that is known of it. */
export function itemResult(item: object): Result {
  const rows = Object.entries(item).flatMap(([name, value]): string[][] => {
    if (!Array.isArray(value)) return [[name, textOf(value)]];
    return value.map((each, i) => [i === 0 ? name : "", textOf(each)]);
  });
  return { json: item, table: { rows } };
}

/** A change, told in a sentence. @param json what the server answered */
export function doneResult(text: string, json: unknown): Result {
  return { json, text };
}

function textOf(value: unknown): string {
  if (value === undefined || value === null) return "";
  if (typeof value === "object") return JSON.stringify(value);
  return String(value as string | number | boolean);
}
