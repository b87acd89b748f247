import type { Sample, Workload } from "./workloads.ts";

export interface Row {
  name: string;
  title: string;
  unit: string;
  /** Medians over the rounds. */
  berth: number;
  registry: number;
  bare: number | null;
  targets: Workload["targets"];
  pullP99: number | null;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const [low, high] = [sorted[middle - 1], sorted[middle]];
  if (high === undefined) return Number.NaN;
  return sorted.length % 2 === 1 || low === undefined ? high : (low + high) / 2;
}

export function makeRow(workload: Workload, samples: Record<string, Sample[]>): Row {
  const of = (peer: string): number => median((samples[peer] ?? []).map(({ value }) => value));
  const p99 = (samples.berth ?? []).flatMap(({ pullP99 }) => pullP99 ?? []);
  const { name, title, unit, targets } = workload;
  return {
    name,
    title,
    unit,
    berth: of("berth"),
    registry: of("registry"),
    bare: targets.bare === undefined ? null : of("bare"),
    targets,
    pullP99: p99.length === 0 ? null : median(p99),
  };
}

/** Whether the row's targets are met: ratios to the peers, and 20 ms for pulls beside pushes. */
export function isMet({ berth, registry, bare, targets, pullP99 }: Row): boolean {
  const toBare = targets.bare === undefined || bare === null || berth / bare >= targets.bare;
  return berth / registry >= targets.registry && toBare && (pullP99 === null || pullP99 < 20);
}

const number = (value: number): string => (value >= 100 ? Math.round(value).toLocaleString("en") : value.toFixed(1));

/** The rows as a Markdown table. */
export function table(rows: readonly Row[]): string {
  const lines = rows.map((row) => {
    const bare = row.bare === null ? "–" : number(row.bare);
    const ratios = [`${(row.berth / row.registry).toFixed(1)} × (≥ ${row.targets.registry})`];
    if (row.bare !== null) ratios.push(`${(row.berth / row.bare).toFixed(2)} × bare (≥ ${row.targets.bare})`);
    if (row.pullP99 !== null) ratios.push(`pulls' p99 ${row.pullP99.toFixed(1)} ms (< 20)`);
    const verdict = isMet(row) ? "met" : "missed";
    return `| ${row.title} | ${row.unit} | ${number(row.berth)} | ${number(row.registry)} | ${bare} | ${ratios.join(", ")} | ${verdict} |`;
  });
  return [
    "| work | unit | Berth | docker-registry | bare Bun | ratio (target) | |",
    "| --- | --- | --- | --- | --- | --- | --- |",
    ...lines,
  ].join("\n");
}
