import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { type Berth, startBerth } from "../harness/berth.ts";
import { type Caller, callerOf, expectReply } from "../harness/caller.ts";
import { contentOf, imageOf, pushImage, putManifest } from "../harness/content.ts";
import { mediaTypes } from "../harness/image-layout.ts";
import { postgresPrograms } from "../harness/postgres-database.ts";
import { type PostgresServer, startPostgres } from "../harness/postgres.ts";
import { describeWith } from "../harness/require.ts";

/** Tags that are there before; `BERTH_TEST_TAGS=10000000 bun test test/stores/plans.test.ts` for the real size. */
const tags = Number(process.env.BERTH_TEST_TAGS ?? 100_000);

setDefaultTimeout(120_000 + tags);

/** Tables that grow with what is pushed. What is read of them has to be found by an index. */
const large = new Set([
  "audit_log",
  "blob_links",
  "blobs",
  "manifest_blobs",
  "manifest_children",
  "manifest_payloads",
  "manifests",
  "outbox",
  "repositories",
  "tag_history",
  "tags",
]);

interface Plan {
  "Node Type": string;
  "Relation Name"?: string;
  "Actual Rows"?: number;
  "Rows Removed by Filter"?: number;
  Plans?: Plan[];
}

// PostgreSQL itself logs the plan of every statement that the server runs.
describeWith(postgresPrograms() === null ? ["postgres"] : [], `statements among ${tags} tags`, () => {
  let postgres: PostgresServer;
  let berth: Berth;
  let caller: Caller;
  let digest: string;
  beforeAll(async () => {
    postgres = await startPostgres({
      fsync: "off",
      autovacuum: "off",
      max_wal_size: "4GB",
      shared_preload_libraries: "auto_explain",
      "auto_explain.log_format": "json",
      "auto_explain.log_analyze": "on",
      "auto_explain.log_timing": "off",
      "auto_explain.log_nested_statements": "on",
    });
    berth = await startBerth({ env: { BERTH_METADATA_URL: postgres.url } });
    caller = callerOf(berth);
    ({ digest } = await pushImage(caller, "my-project/first", "plans", "v1"));
    await seed(postgres, tags);
    await postgres.sql("ALTER SYSTEM SET auto_explain.log_min_duration = 0");
    await postgres.sql("SELECT pg_reload_conf()");
  });
  afterAll(async () => {
    await berth.stop();
    await postgres.stop();
  });

  /** The statements whose plans read a large table from one end to the other, or throw most of what they read away. */
  function scans(log: string): string[] {
    const found: string[] = [];
    for (const match of log.matchAll(/plan:\n((?:\t.*\n)+)/g)) {
      const { "Query Text": text, Plan: plan } = JSON.parse((match[1] as string).replaceAll(/^\t/gm, "")) as {
        "Query Text": string;
        Plan: Plan;
      };
      const walk = (node: Plan, isLimited: boolean): void => {
        const table = node["Relation Name"];
        const rows = (node["Actual Rows"] ?? 0) + (node["Rows Removed by Filter"] ?? 0);
        const isScan = node["Node Type"] === "Seq Scan" && table !== undefined && large.has(table);
        // Below a LIMIT the database may well begin to read anywhere, as long as it comes to an end soon.
        if ((isScan && !isLimited) || rows > 25_000)
          found.push(`${node["Node Type"]} of ${table}, ${rows} rows: ${text}`);
        for (const each of node.Plans ?? []) walk(each, isLimited || node["Node Type"] === "Limit");
      };
      walk(plan, false);
    }
    return found;
  }

  const api = (method: string, path: string, body?: object): Promise<Response> =>
    berth.fetch(path, {
      method,
      ...(body !== undefined && { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
    });

  test("are found by indexes, each of them", async () => {
    const before = readFileSync(postgres.log, "utf8").length;
    const repository = "my-project/grown-1";
    const get = async (path: string, status = 200): Promise<void> =>
      expectReply(await caller.send("GET", path), { status });
    await get("/v2/my-project/first/manifests/v1");
    await get(`/v2/my-project/first/manifests/${digest}`);
    await get(`/v2/${repository}/manifests/none`, 404);
    await get(`/v2/${repository}/tags/list?n=100&last=t${Math.floor(tags / 4)}`);
    await get("/v2/_catalog?n=100&last=my-project/grown-500");
    await get(`/v2/${repository}/referrers/${digest}`);
    await pushImage(caller, repository, "pushed", "new", "t1");
    await pushImage(caller, "my-project/made", "made", "new");
    const { config, document } = imageOf("pushed");
    const from = `/v2/my-project/mounted/blobs/uploads/?mount=${config.digest}&from=${repository}`;
    expectReply(await caller.send("POST", from), { status: 201 });
    const subject = { mediaType: mediaTypes.image, digest: contentOf(JSON.stringify(document)).digest, size: 1 };
    expectReply(await putManifest(caller, repository, "signature", { ...document, subject }), { status: 201 });
    expectReply(await caller.send("DELETE", `/v2/${repository}/manifests/t2`), { status: 202 });
    const pushed = contentOf(JSON.stringify(document)).digest;
    expectReply(await caller.send("DELETE", `/v2/${repository}/manifests/${pushed}`), { status: 202 });
    const bucket = "/storage/v1/b/artifacts.my-project.appspot.com/o";
    for (const query of ["maxResults=100", `maxResults=100&prefix=containers/repositories/library/grown-7/`]) {
      expect((await api("GET", `${bucket}?${query}`)).status).toBe(200);
    }
    expect((await api("POST", "/v1/projects/my-project:getIamPolicy", {})).status).toBe(200);
    const log = readFileSync(postgres.log, "utf8").slice(before);
    expect(log.match(/plan:\n/g)?.length ?? 0).toBeGreaterThan(100);
    expect([...new Set(scans(log))]).toEqual([]);
  });
});

/** A quarter of the tags in one repository, the rest in thousands; some manifests for each five tags, and their blobs. */
async function seed(postgres: PostgresServer, count: number): Promise<void> {
  const manifests = Math.ceil(count / 5);
  const blobs = Math.ceil(count / 2);
  const repositories = Math.ceil(count / 100);
  await postgres.sql(`
    INSERT INTO repositories (registry_id, name, created_at)
      SELECT 1, 'my-project/grown-' || i, 0 FROM generate_series(1, ${repositories}) i;
    CREATE TEMP TABLE r AS SELECT id, row_number() OVER (ORDER BY id) - 1 AS n FROM repositories WHERE name LIKE '%grown%';
    INSERT INTO blobs (store, digest, size, storage_key, created_at)
      SELECT 'default', 'sha256:' || encode(sha256(('b' || i)::bytea), 'hex'), 1000, 'none/' || i, 0
      FROM generate_series(1, ${blobs}) i;
    CREATE TEMP TABLE b AS SELECT id, row_number() OVER (ORDER BY id) - 1 AS n FROM blobs WHERE storage_key LIKE 'none%';
    CREATE INDEX ON r (n); CREATE INDEX ON b (n);
    INSERT INTO blob_links (repository_id, blob_id, registry_id, created_at)
      SELECT r.id, b.id, 1, 0 FROM b JOIN r ON r.n = b.n % ${repositories};
    INSERT INTO manifests (repository_id, digest, media_type, size, image_size, image_created_at, pushed_at)
      SELECT r.id, 'sha256:' || encode(sha256(('m' || i)::bytea), 'hex'), 'application/vnd.oci.image.manifest.v1+json', 500,
        1000, 0, 0 FROM generate_series(0, ${manifests - 1}) i JOIN r ON r.n = CASE WHEN i % 4 = 0 THEN 0 ELSE i % ${repositories} END;
    INSERT INTO manifest_blobs (manifest_id, repository_id, blob_id)
      SELECT m.id, l.repository_id, l.blob_id FROM manifests m CROSS JOIN LATERAL
        (SELECT * FROM blob_links WHERE repository_id = m.repository_id LIMIT 2) l WHERE m.size = 500;
    INSERT INTO manifest_children (parent_id, repository_id, digest, child_id)
      SELECT id, repository_id, 'sha256:' || id, CASE WHEN id % 2 = 0 THEN id END FROM manifests WHERE size = 500;
    INSERT INTO manifest_payloads SELECT id, 'x' FROM manifests WHERE size = 500;
    INSERT INTO tags (repository_id, name, manifest_id, created_at, updated_at)
      SELECT m.repository_id, 't' || (row_number() OVER ()), m.id, 0, 0
      FROM manifests m, generate_series(1, 5) WHERE m.size = 500;
    INSERT INTO tag_history (repository_id, tag, new_digest, principal, at)
      SELECT repository_id, name, 'sha256:x', 'user:x', 0 FROM tags;
    INSERT INTO outbox (at, kind, registry_id, payload) SELECT 0, 'tag.moved', 1, '{}' FROM generate_series(1, ${count});
    INSERT INTO audit_log (at, principal, method, resource, request_id, client_address, detail, project_id)
      SELECT i, 'user:x', 'm', 'r', '', '', '{}', 'my-project' FROM generate_series(1, ${count}) i;
    ANALYZE;
  `);
}
