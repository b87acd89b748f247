import { styleText } from "node:util";
import CliTable from "cli-table3";
import type { Result, Table } from "./noun.ts";

/** Where results go. */
export interface Paper {
  /** Resolves once it is out: what is not, is lost when the process ends. */
  write(text: string): Promise<void>;
  /** Characters of a line; `undefined` where lines may have any length. */
  width: number | undefined;
  hasColors: boolean;
}

const least = 8;
const gap = 2;
/** All of a table's lines; without `left` and `right` the columns stand side by side. */
const lines = ["top", "bottom", "left", "right"].flatMap((side) => [
  side,
  `${side}-mid`,
  `${side}-left`,
  `${side}-right`,
]);
const borderless = Object.fromEntries([...lines, "mid", "mid-mid"].map((name) => [name, ""]));

/** Standard output: lines fit a terminal, and are left whole for programs. [no-color.org] */
export function standardPaper(environment: Readonly<Record<string, string | undefined>>): Paper {
  const isTerminal = process.stdout.isTTY;
  return {
    write: (text) => new Promise((resolve) => process.stdout.write(text, () => resolve())),
    width: isTerminal ? process.stdout.columns || undefined : undefined,
    hasColors: isTerminal && (environment.NO_COLOR ?? "") === "",
  };
}

export async function printResult(result: NonNullable<Result>, format: "table" | "json", paper: Paper): Promise<void> {
  if (format === "json") await paper.write(`${JSON.stringify(result.json, null, 2)}\n`);
  else if ("text" in result) await paper.write(`${result.text}\n`);
  else if (result.table.rows.length > 0) await paper.write(formatTable(result.table, paper));
}

function formatTable({ head, rows }: Table, { width, hasColors }: Paper): string {
  const cells = [...(head === undefined ? [] : [head]), ...rows.map((row) => row.map(printable))];
  const widths = fittingWidths(
    cells,
    (head ?? []).map((title) => Bun.stringWidth(title)),
    width,
  );
  const table = new CliTable({
    chars: { ...borderless, middle: " ".repeat(gap) },
    style: { "padding-left": 0, "padding-right": 0, head: [], border: [], compact: true },
    colWidths: widths,
  });
  table.push(...cells.map((row) => row.map((cell, i) => Bun.wrapAnsi(cell, widths[i] as number, { hard: true }))));
  const [first = "", ...others] = table
    .toString()
    .split("\n")
    .map((line) => line.trimEnd());
  const top = head !== undefined && hasColors ? styleText("bold", first, { validateStream: false }) : first;
  return `${[top, ...others].join("\n")}\n`;
}

/** What people named things must not move the cursor. */
export function printable(text: string): string {
  return text.replaceAll(/\s+/g, " ").replaceAll(/\p{Cc}/gu, "\u{fffd}");
}

/**
 * As wide as their longest cell; where that is too much for a line, the widest give way first.
 * @param titles widths that are needed in any case
 */
function fittingWidths(
  rows: readonly (readonly string[])[],
  titles: readonly number[],
  line: number | undefined,
): number[] {
  const count = Math.max(...rows.map((row) => row.length));
  const widths = Array.from({ length: count }, (_, i) =>
    Math.max(1, ...rows.map((row) => Bun.stringWidth(row[i] ?? ""))),
  );
  if (line === undefined) return widths;
  let excess = widths.reduce((sum, each) => sum + each, 0) + gap * (count - 1) - line;
  for (; excess > 0; excess--) {
    const room = widths.map((each, i) => (each > Math.max(least, titles[i] ?? 0) ? each : 0));
    const widest = Math.max(...room);
    if (widest === 0) break;
    widths[room.indexOf(widest)] = widest - 1;
  }
  return widths;
}
