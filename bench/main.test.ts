import { expect, test } from "bun:test";
import { join } from "node:path";
import { describeInstalled } from "../test/harness/suites.ts";
import { workloads } from "./workloads.ts";
import { isMet, median, type Row, table } from "./report.ts";

const row: Row = {
  name: "x",
  title: "x",
  unit: "requests/s",
  berth: 300,
  registry: 20,
  bare: 1000,
  targets: { registry: 15, bare: 0.3 },
  pullP99: null,
};

test("a row is met only if each of its targets is", () => {
  expect(isMet(row)).toBe(true);
  expect(isMet({ ...row, registry: 21 })).toBe(false);
  expect(isMet({ ...row, bare: 1001 })).toBe(false);
  expect(isMet({ ...row, pullP99: 20 })).toBe(false);
  expect(isMet({ ...row, berth: Number.NaN })).toBe(false);
  expect(table([{ ...row, registry: 21 }])).toContain("missed");
});

test("the median is the middle one, or the mean of two", () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
});

describeInstalled(["docker-registry", "wrk"], "the benchmark", () => {
  test("runs every kind of workload and gives figures", async () => {
    // Those with TLS or more processes are the same, with other servers.
    const here = workloads.filter(({ on }) => on === "http" || on === "empty");
    const only = ["--only", here.map(({ name }) => name).join(",")];
    const run = Bun.spawn([process.execPath, join(import.meta.dir, "main.ts"), "--quick", ...only], {
      stdout: "pipe",
      stderr: "inherit",
    });
    const out = await new Response(run.stdout).text();
    expect(await run.exited).toBe(0);
    expect(out).not.toContain("NaN");
    for (const { title } of here) expect(out).toContain(title);
    expect(out).toContain("First answer after");
  });
});

describeInstalled(["wrk"], "the measurement of access", () => {
  test("runs and gives figures", async () => {
    const run = Bun.spawn([process.execPath, join(import.meta.dir, "access.ts"), "--quick"], {
      stdout: "pipe",
      stderr: "inherit",
    });
    const out = await new Response(run.stdout).text();
    expect(await run.exited).toBe(0);
    expect(out).not.toContain("NaN");
    expect(out).toMatch(/warm +[\d.]+ µs of CPU/);
    expect(out).toMatch(/with audited reads \d+\/s/);
  });
});
