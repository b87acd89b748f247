import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Access } from "../src/access/access-control.ts";
import type { Caller } from "../src/access/caller.ts";
import { migrate } from "../src/metadata/migrate.ts";
import { SqliteConnection, SqliteDatabase, SqliteWriter } from "../src/metadata/sqlite.ts";
import { run } from "../src/metadata/statement.ts";
import { openAccess } from "../src/server/rooms.ts";
import { startBerth } from "../test/harness/berth.ts";
import { mustCall } from "../test/harness/federation.ts";
import { pushBlob, pushManifest } from "../test/harness/registry.ts";
import { median } from "./report.ts";
import { wrk } from "./wrk.ts";

/**
 * What access costs: the CPU of one authorisation among 100,000 bindings and 10,000 groups, and pulls with entries in
 * the audit log beside pulls without.
 *
 *     sh bin/bun bench/access.ts [--quick]
 */
const { values } = parseArgs({ options: { quick: { type: "boolean", default: false } } });
const scale = values.quick ? 0.01 : 1;
const projects = 100 * scale;
const bucketsOfProject = 10;
const bindingsOfBucket = 100;
const groups = 10_000 * scale;
const people = 1000 * scale;
const calls = 200_000 * scale;

const call = { service: "bench", method: "bench", clientAddress: "", userAgent: "", requestId: "" };
const bucketOf = (project: number, bucket: number): string =>
  `//storage.googleapis.com/projects/_/buckets/b-${project}-${bucket}`;
const person = (i: number): string => `user:person-${i}@example.com`;
const group = (i: number): string => `group-${i}@example.com`;

/** Each bucket gives a role to a hundred groups, one binding for each; each person is in ten groups, which nest. */
function fill(connection: SqliteConnection): void {
  const insert = (sql: string, ...params: (string | number)[]): void => connection.run(run(sql, ...params));
  connection.run(run("BEGIN"));
  insert("INSERT INTO organizations VALUES ('1', '', 'example.com', 0)");
  for (let i = 0; i < groups; i++) insert("INSERT INTO groups VALUES (?, ?, '', '', 0)", String(i), group(i));
  // Groups stand in one another ten deep.
  for (let i = 0; i < groups - 1; i++) {
    if (i % 10 !== 9) insert("INSERT INTO group_members VALUES (?, ?, 'local', 0)", String(i + 1), `group:${group(i)}`);
  }
  for (let i = 0; i < people; i++) {
    for (let j = 0; j < 10; j++) {
      const id = String((i * 97 + j * 1009) % groups);
      insert("INSERT OR IGNORE INTO group_members VALUES (?, ?, 'local', 0)", id, person(i));
    }
  }
  for (let project = 0; project < projects; project++) {
    const sql =
      "INSERT INTO projects (id, number, display_name, created_at, organization_id) VALUES (?, ?, '', 0, '1')";
    insert(sql, `p-${project}`, String(project));
    for (let bucket = 0; bucket < bucketsOfProject; bucket++) {
      const bindings = Array.from({ length: bindingsOfBucket }, (_, i) => ({
        role: i % 2 === 0 ? "roles/storage.objectViewer" : "roles/storage.objectCreator",
        members: [`group:${group((project * 131 + bucket * 17 + i * 89) % groups)}`],
      }));
      const policy = "INSERT INTO policies (resource, etag, bindings) VALUES (?, 'e', ?)";
      insert(policy, bucketOf(project, bucket), JSON.stringify(bindings));
    }
  }
  connection.run(run("COMMIT"));
}

interface Figures {
  allowed: number;
  micros: number;
}

async function measureAuthorization(): Promise<Record<"first" | "warm" | "afterChange", Figures>> {
  const directory = mkdtempSync(join(tmpdir(), "berth-bench-access-"));
  const path = join(directory, "berth.db");
  const connection = new SqliteConnection(path, "write");
  try {
    migrate(connection);
    fill(connection);
    const database = new SqliteDatabase(path, new SqliteWriter(connection, []));
    const { access, memberships, freshness } = openAccess(database);
    const callers: Caller[] = [];
    for (let i = 0; i < people; i++) {
      const identities = await memberships.of(person(i));
      callers.push({
        principal: person(i),
        identities,
        keyId: "",
        tokenIds: [],
        delegation: [],
        origins: [],
        bounds: undefined,
        issuedAt: 0,
      });
    }
    const pulls: [Caller, Access[]][] = Array.from({ length: 5000 * Math.max(scale, 0.1) }, (_, i) => {
      const project = i % projects;
      const resource = `${bucketOf(project, i % bucketsOfProject)}/objects/p-${project}/app-${i % 7}:v1`;
      return [
        callers[(i * 31) % callers.length] as Caller,
        [{ permission: "storage.objects.get", resource, project: `p-${project}` as never }],
      ];
    });
    const measure = async (count: number): Promise<Figures> => {
      let allowed = 0;
      const before = process.cpuUsage();
      for (let i = 0; i < count; i++) {
        const [caller, accesses] = pulls[i % pulls.length] as [Caller, Access[]];
        if ("accesses" in (await access.authorize(caller, accesses, call))) allowed++;
      }
      const { user, system } = process.cpuUsage(before);
      return { allowed: allowed / count, micros: (user + system) / count };
    };
    await freshness.refresh();
    const first = await measure(pulls.length);
    const warm = await measure(calls);
    // Some policy changes: nothing is remembered, but the policies themselves are still compiled.
    connection.run(run("UPDATE versions SET value = value + 1 WHERE name = 'access'"));
    await new Promise((resolve) => setImmediate(resolve));
    await freshness.refresh();
    return { first, warm, afterChange: await measure(pulls.length) };
  } finally {
    connection.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Pulls of a manifest with and without entries in the audit log, in turns; answers how many times as many with. */
async function measureAudit(): Promise<{ plain: number; audited: number }> {
  const berth = await startBerth({ args: ["--log-level", "warn"] });
  try {
    const repository = "my-project/bench";
    const config = await pushBlob(berth, repository, "{}", "application/vnd.oci.empty.v1+json");
    const mediaType = "application/vnd.oci.image.manifest.v1+json";
    await pushManifest(berth, repository, { mediaType, config, layers: [] }, "v1");
    const headers = { authorization: `Bearer ${await berth.token(`repository:${repository}:pull`)}` };
    const url = berth.url.replace("localhost", "127.0.0.1");
    const peer = { name: "berth" as const, url, headers, processes: () => [], stop: () => Promise.resolve() };
    const setAudit = async (on: boolean): Promise<void> => {
      const path = "/v1/projects/my-project";
      const policy = await mustCall<object>(berth, "POST", `${path}:getIamPolicy`, {});
      const auditConfigs = on ? [{ service: "allServices", auditLogConfigs: [{ logType: "DATA_READ" }] }] : [];
      const body = { policy: { ...policy, auditConfigs }, updateMask: "bindings,etag,auditConfigs" };
      await mustCall(berth, "POST", `${path}:setIamPolicy`, body);
    };
    const results = { plain: [] as number[], audited: [] as number[] };
    for (let round = 0; round < (values.quick ? 1 : 7); round++) {
      for (const kind of ["plain", "audited"] as const) {
        await setAudit(kind === "audited");
        const load = { connections: 32, seconds: values.quick ? 1 : 3, paths: [`/v2/${repository}/manifests/v1`] };
        results[kind].push((await wrk(peer, load)).requestsPerSecond);
      }
    }
    return { plain: median(results.plain), audited: median(results.audited) };
  } finally {
    await berth.stop();
  }
}

const figures = await measureAuthorization();
const all = projects * bucketsOfProject * bindingsOfBucket;
console.log(`authorisations of a pull among ${all} bindings and ${groups} groups:`);
for (const [name, { allowed, micros }] of Object.entries(figures)) {
  console.log(`  ${name.padEnd(12)} ${micros.toFixed(2)} µs of CPU, ${(allowed * 100).toFixed(0)} % allowed`);
}
const { plain, audited } = await measureAudit();
console.log(
  `manifest pulls: ${plain.toFixed(0)}/s, with audited reads ${audited.toFixed(0)}/s: ${(audited / plain).toFixed(2)} ×`,
);
process.exit(0);
