import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { type BerthOptions, startBerth } from "../harness/berth.ts";
import { startNginx } from "../harness/nginx.ts";
import { makeScratch } from "../harness/scratch.ts";
import { type Site, siteOf } from "../harness/site.ts";
import { describeInstalled } from "../harness/suites.ts";
import { type ConformanceReport, runConformance } from "./oci-conformance.ts";

setDefaultTimeout(180_000);

/** What the suite knows of; fewer would mean that it did not run whole. */
const apiCount = 28;
const dataCount = 24;
const leastTests = 1032;

const runs: readonly { name: string; programs?: string[]; options?: BerthOptions; proxy?: boolean }[] = [
  { name: "HTTP" },
  { name: "HTTPS", options: { tls: true } },
  { name: "HTTP with two processes", options: { args: ["--workers", "2"] } },
  {
    name: "nginx with TLS",
    programs: ["nginx", "openssl"],
    options: { args: ["--trusted-proxies", "127.0.0.1/32"] },
    proxy: true,
  },
];

const scratch = makeScratch();
afterAll(() => scratch.remove());

for (const { name, programs = [], options = {}, proxy = false } of runs) {
  describeInstalled(["conformance", ...programs], `OCI conformance over ${name}`, () => {
    test("nothing fails, nothing is skipped, nothing is off", async () => {
      // Whether image manifests may be sparse the specification leaves open, and Berth to a setting.
      const berth = await startBerth({ ...options, args: ["--allow-missing-blobs", ...(options.args ?? [])] });
      const nginx = proxy ? await startNginx(scratch, { upstream: berth.port, tls: true }) : undefined;
      try {
        const site: Site =
          nginx === undefined ? siteOf(berth) : { host: nginx.host, key: berth.key, ca: nginx.ca as string };
        const report = await runConformance(site, scratch.directory("results"));
        print(name, report);
        const { apis, data, totals, problems, off } = report;
        expect(off).toEqual([]);
        expect(problems).toEqual([]);
        expect(totals).toMatchObject({ failures: 0, errors: 0, skipped: 0, disabled: 0 });
        expect(totals.tests).toBeGreaterThanOrEqual(leastTests);
        expect(notPassed(apis)).toEqual([]);
        expect(notPassed(data)).toEqual([]);
        expect([Object.keys(apis).length, Object.keys(data).length]).toEqual([apiCount, dataCount]);
      } finally {
        await nginx?.stop();
        await berth.stop();
      }
    });
  });
}

function notPassed(statuses: Record<string, string>): string[] {
  return Object.entries(statuses).flatMap(([name, status]) => (status === "Pass" ? [] : [`${name}: ${status}`]));
}

/** Totals by API, for the notes of a release. */
function print(name: string, { totals, byCall, apis, data }: ConformanceReport): void {
  const { tests, failures, errors, skipped, disabled } = totals;
  const lines = [
    `conformance over ${name}: ${tests} tests, ${failures + errors} failed, ${skipped + disabled} not run`,
  ];
  lines.push(`  ${Object.keys(apis).length} APIs, ${Object.keys(data).length} kinds of data`);
  for (const [call, counts] of [...byCall].toSorted(([a], [b]) => a.localeCompare(b))) {
    const others = counts.skipped + counts.failure + counts.error;
    lines.push(`  ${call.padEnd(28)}${String(counts.passed).padStart(5)} passed${others > 0 ? `, ${others} not` : ""}`);
  }
  console.log(lines.join("\n"));
}
