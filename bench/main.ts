import { mkdirSync, rmSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startPostgres } from "../test/harness/postgres.ts";
import { makeContent } from "./content.ts";
import { type Fleet, startFleet } from "./fleet.ts";
import { measureMemory, measureStart } from "./footprint.ts";
import { startBerthPeer, startRegistryPeer } from "./peers.ts";
import { makeRow, type Row, table } from "./report.ts";
import { type Sample, type Scale, type Workload, workloads } from "./workloads.ts";

/**
 * Berth beside Debian's docker-registry and a bare Bun server, in one run, round by round in turn.
 *
 *     npm run bench -- [--only NAME,…] [--rounds 5] [--quick] [--soak MINUTES] [--postgres] [--write-docs]
 *
 * With --postgres Berth keeps its metadata in a PostgreSQL on the same machine, which syncs as it should.
 */
const { values } = parseArgs({
  options: {
    only: { type: "string" },
    rounds: { type: "string", default: "5" },
    quick: { type: "boolean", default: false },
    soak: { type: "string", default: "0" },
    postgres: { type: "boolean", default: false },
    "write-docs": { type: "boolean", default: false },
  },
});

const full: Scale = { seconds: 3, largeBytes: 256 * 2 ** 20, layerBytes: 8 * 2 ** 20, smallBlobs: 500 };
const quick: Scale = { seconds: 1, largeBytes: 8 * 2 ** 20, layerBytes: 2 ** 20, smallBlobs: 20 };
const scale = values.quick ? quick : full;
const rounds = values.quick ? 1 : Number(values.rounds);
const wanted = workloads.filter(({ name }) => values.only === undefined || values.only.split(",").includes(name));

const machine = `${cpus().length} × ${cpus()[0]?.model}, load ${loadavg()[0]?.toFixed(2)} before, Bun ${Bun.version}`;
console.log(machine);
const postgres = values.postgres ? await startPostgres({}) : undefined;
if (postgres !== undefined) process.env.BERTH_TEST_POSTGRES = postgres.url;
const content = await makeContent({ small: scale.smallBlobs, large: scale.largeBytes });
const rows: Row[] = [];
let memory: Awaited<ReturnType<typeof measureMemory>> | undefined;
for (const on of ["http", "https", "http-workers", "https-workers"] as const) {
  const here = wanted.filter((workload) => workload.on === on);
  if (here.length === 0) continue;
  const fleet = await startFleet(on, content);
  try {
    for (const workload of here) {
      const row = makeRow(workload, await measure(workload, fleet));
      rows.push(row);
      console.log(table([row]).split("\n").at(-1));
    }
    if (on === "http")
      memory = await measureMemory(fleet.berth, content, Number(values.soak) * 60 || (values.quick ? 2 : 20));
  } finally {
    await fleet.stop();
  }
}
for (const workload of wanted.filter((each) => each.on.startsWith("empty"))) {
  const row = makeRow(workload, await measureEmpty(workload));
  rows.push(row);
  console.log(table([row]).split("\n").at(-1));
}
const start = await measureStart();
rmSync(content.directory, { recursive: true, force: true });
await postgres?.stop();

rows.sort((a, b) => order(a) - order(b));
const footprint = [
  memory === undefined
    ? ""
    : `Memory of the largest process: ${memory.after.toFixed(0)} MiB after the work above, ` +
      `${memory.first.toFixed(0)} → ${memory.last.toFixed(0)} MiB over a mixed run of ${memory.seconds} s (target < 150, flat).`,
  `First answer after \`npm start\` on an empty directory: ${start.toFixed(2)} s (target < 1).`,
].filter((line) => line !== "");
const report = [table(rows), "", ...footprint].join("\n");
console.log(`\n${report}`);
const results = join(import.meta.dir, "results");
mkdirSync(results, { recursive: true });
await Bun.write(join(results, "latest.json"), JSON.stringify({ machine, rounds, scale, rows, memory, start }, null, 2));
if (values["write-docs"]) {
  const page = join(import.meta.dir, "../docs/performance.md");
  await Bun.write(
    page,
    `${await Bun.file(join(import.meta.dir, "performance.head.md")).text()}\n${machine}.\n\n${report}\n`,
  );
}

/** Berth, docker-registry, bare; Berth, docker-registry, bare; … so that a drifting machine drifts for all. */
async function measure(workload: Workload, fleet: Fleet): Promise<Record<string, Sample[]>> {
  const samples: Record<string, Sample[]> = { berth: [], registry: [], bare: [] };
  const peers = [fleet.berth, fleet.registry, ...(workload.targets.bare === undefined ? [] : [fleet.bare])];
  for (let round = 0; round < rounds; round++) {
    for (const peer of peers) samples[peer.name]?.push(await workload.measure(peer, content, scale));
  }
  return samples;
}

/**
 * The same, with a server of its own for each sample, started empty and removed afterwards. What it wrote leaves the
 * page cache with it: a virtual machine whose memory grows under the load would measure its host. The first round warms
 * up.
 */
async function measureEmpty(workload: Workload): Promise<Record<string, Sample[]>> {
  const samples: Record<string, Sample[]> = { berth: [], registry: [] };
  const workers = workload.on === "empty-workers" ? 4 : 1;
  for (let round = -1; round < rounds; round++) {
    for (const start of [() => startBerthPeer({ tls: false, workers }), () => startRegistryPeer(undefined)]) {
      const peer = await start();
      try {
        const sample = await workload.measure(peer, content, scale);
        if (round >= 0) samples[peer.name]?.push(sample);
      } finally {
        await peer.stop();
      }
    }
  }
  return samples;
}

function order({ name }: Row): number {
  return workloads.findIndex((workload) => workload.name === name);
}
