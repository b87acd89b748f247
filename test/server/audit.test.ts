import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import { type Account, makeAccount } from "../harness/accounts.ts";
import { type Berth, startBerth, until } from "../harness/berth.ts";
import { bind, bindingOf } from "../harness/bindings.ts";
import { basic } from "../harness/caller.ts";
import { mustCall } from "../harness/federation.ts";
import { pushBlob, pushManifest } from "../harness/registry.ts";
import { adminEmail } from "../harness/tenants.ts";
import { openMetadata } from "../harness/metadata.ts";

setDefaultTimeout(60_000);

interface Entry {
  logName: string;
  severity: string;
  timestamp: string;
  insertId: string;
  labels?: Record<string, string>;
  protoPayload: {
    methodName: string;
    resourceName: string;
    authenticationInfo: { principalEmail?: string };
    authorizationInfo: { permission: string; granted: boolean }[];
    requestMetadata: { callerIp: string; callerSuppliedUserAgent: string };
  };
}

const repository = "my-project/audited";
let berth: Berth;
let robot: Account;

beforeAll(async () => {
  berth = await startBerth({ args: ["--trusted-proxies", "127.0.0.1"] });
  robot = await makeAccount(berth, "robot");
  const config = await pushBlob(berth, repository, "{}", "application/vnd.oci.empty.v1+json");
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  await pushManifest(berth, repository, { mediaType, config, layers: [] }, "v1");
});

afterAll(async () => {
  await berth.stop();
  rmSync(berth.data, { recursive: true, force: true });
});

async function entries(filter: string, more: object = {}): Promise<Entry[]> {
  const query = { resourceNames: ["projects/my-project"], filter, pageSize: 1000, ...more };
  return (await mustCall<{ entries?: Entry[] }>(berth, "POST", "/v2/entries:list", query)).entries ?? [];
}

const pull = (key: string, reference = "v1"): Promise<Response> =>
  fetch(`${berth.url}/v2/${repository}/manifests/${reference}`, {
    headers: { authorization: basic(key), "user-agent": "tester/1" },
  });

test("a change is an entry in Cloud Audit Logs' shape", async () => {
  const [entry] = await entries('protoPayload.methodName:"PUT manifests"');
  expect(entry).toMatchObject({
    logName: "projects/my-project/logs/cloudaudit.googleapis.com%2Factivity",
    severity: "NOTICE",
    resource: { type: "audited_resource", labels: { project_id: "my-project" } },
    protoPayload: {
      "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
      serviceName: "containerregistry.googleapis.com",
      resourceName: expect.stringContaining(repository) as string,
      authenticationInfo: { principalEmail: adminEmail },
      authorizationInfo: expect.arrayContaining([
        expect.objectContaining({ permission: "storage.objects.create", granted: true }),
      ]) as unknown[],
      requestMetadata: { callerIp: "127.0.0.1" },
    },
  });
});

test("a change that did not happen has no entry", async () => {
  const before = (await entries('severity="NOTICE"')).length;
  const reply = await berth.fetch(`/v2/${repository}/manifests/broken`, { method: "PUT", body: "{}" });
  expect(reply.status).toBe(400);
  const stale = { policy: { bindings: [], etag: "AAAA" } };
  const refused = await berth.fetch("/v1/projects/my-project:setIamPolicy", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(stale),
  });
  expect(refused.status).toBe(409);
  expect((await entries('severity="NOTICE"')).length).toBe(before);
});

test("ten thousand refusals of a stranger are few rows, and none is lost", async () => {
  const rows = (): number => {
    const database = openMetadata(berth.data);
    const { n } = database.get("SELECT count(*) AS n FROM audit_log WHERE log = 'policy'") as { n: number };
    database.close();
    return n;
  };
  const before = rows();
  for (let i = 0; i < 10_000; i += 100) {
    const replies = await Promise.all(Array.from({ length: 100 }, () => pull(robot.key)));
    expect(replies.every(({ status }) => status === 403)).toBe(true);
    await Promise.all(replies.map((reply) => reply.arrayBuffer()));
  }
  const counted = (found: Entry[]): number =>
    found.reduce((sum, { labels }) => sum + Number(labels?.["berth/count"] ?? 1), 0);
  const filter = `severity="ERROR" AND protoPayload.authenticationInfo.principalEmail="${robot.email}"`;
  const found = await until(async () => {
    const all = await entries(filter);
    return counted(all) >= 10_000 ? all : undefined;
  }, 15_000);
  expect(counted(found)).toBe(10_000);
  expect(rows() - before).toBeLessThan(20);
  expect(found[0]?.protoPayload).toMatchObject({
    authorizationInfo: [{ permission: "storage.objects.get", granted: false }],
    requestMetadata: { callerIp: "127.0.0.1", callerSuppliedUserAgent: "tester/1" },
  });
});

test("a stranger with ever new names fills no more than a bounded part", async () => {
  const count = (sql: string): number => {
    const database = openMetadata(berth.data);
    const { n } = database.get(`SELECT ${sql} AS n FROM audit_log`) as { n: number };
    database.close();
    return n;
  };
  const rows = (): number => count("count(*)");
  await entries("");
  const before = rows();
  for (let i = 0; i < 3000; i += 100) {
    await Promise.all(
      Array.from({ length: 100 }, async (_, j) => (await pull(robot.key, `tag-${i + j}`)).arrayBuffer()),
    );
  }
  await entries("");
  const first = rows() - before;
  expect(first).toBeLessThanOrEqual(1001);
  // It goes on, and there is a row each ten seconds.
  for (let i = 0; i < 1000; i += 100) {
    await Promise.all(
      Array.from({ length: 100 }, async (_, j) => (await pull(robot.key, `more-${i + j}`)).arrayBuffer()),
    );
  }
  await entries("");
  expect(rows() - before - first).toBeLessThan(20);
  expect(count("sum(CASE method WHEN 'various' THEN count END)")).toBeGreaterThan(2900);
});

describe("reads", () => {
  const setAudit = async (auditLogConfigs: object[]): Promise<void> => {
    const path = "/v1/projects/my-project";
    const policy = await mustCall<{ bindings: { role: string; members: string[] }[] }>(
      berth,
      "POST",
      `${path}:getIamPolicy`,
      {},
    );
    const viewer = { role: "roles/viewer", members: [`serviceAccount:${robot.email}`] };
    const bindings = [...policy.bindings.filter(({ role }) => role !== "roles/viewer"), viewer];
    const auditConfigs = auditLogConfigs.length === 0 ? [] : [{ service: "allServices", auditLogConfigs }];
    const body = { policy: { ...policy, bindings, auditConfigs }, updateMask: "bindings,etag,auditConfigs" };
    await mustCall(berth, "POST", `${path}:setIamPolicy`, body);
  };
  const reads = (email: string): Promise<Entry[]> =>
    entries(`logName:"data_access" AND protoPayload.authenticationInfo.principalEmail="${email}"`);

  test("are no entries unless the project asks for them", async () => {
    await setAudit([]);
    expect((await pull(robot.key)).status).toBe(200);
    expect(await reads(robot.email)).toEqual([]);
  });

  test("are entries where it does, but for whom it exempts", async () => {
    await setAudit([{ logType: "DATA_READ", exemptedMembers: [`serviceAccount:${adminEmail}`] }]);
    for (let i = 0; i < 5; i++) expect((await pull(robot.key)).status).toBe(200);
    expect((await pull(berth.key)).status).toBe(200);
    const [entry, ...others] = await reads(robot.email);
    expect(others).toEqual([]);
    expect(entry).toMatchObject({
      logName: "projects/my-project/logs/cloudaudit.googleapis.com%2Fdata_access",
      severity: "INFO",
      labels: { "berth/count": "5" },
      protoPayload: { authorizationInfo: [{ permission: "storage.objects.get", granted: true }] },
    });
    expect(await reads(adminEmail)).toEqual([]);
  });

  test("are entries where the organisation asks, whomever a project exempts; and the exemption is an entry itself", async () => {
    const { organizations } = await mustCall<{ organizations: { name: string }[] }>(
      berth,
      "POST",
      "/v1/organizations:search",
      {},
    );
    const path = `/v1/${organizations[0]?.name}`;
    const policy = await mustCall<object>(berth, "POST", `${path}:getIamPolicy`, {});
    const auditConfigs = [{ service: "allServices", auditLogConfigs: [{ logType: "DATA_READ" }] }];
    await mustCall(berth, "POST", `${path}:setIamPolicy`, { policy: { ...policy, auditConfigs } });
    await setAudit([]);
    const before = (await reads(adminEmail)).length;
    const exempted = [{ logType: "DATA_READ", exemptedMembers: [`serviceAccount:${adminEmail}`] }];
    await setAudit(exempted);
    expect((await pull(berth.key, "v1")).status).toBe(200);
    expect((await reads(adminEmail)).length).toBeGreaterThan(before);
    const changes = await entries('protoPayload.methodName:"SetIamPolicy"', { orderBy: "timestamp desc" });
    expect(JSON.stringify(changes[0])).toContain(JSON.stringify(exempted));
    await mustCall(berth, "POST", `${path}:setIamPolicy`, {
      policy: { ...policy, auditConfigs: [], etag: undefined },
    });
  });
});

test("who guesses is an entry, however many strangers ask for what is not theirs at the same time", async () => {
  const from = (address: string): Record<string, string> => ({ "x-forwarded-for": address });
  for (let i = 0; i < 1300; i++) {
    await fetch(`${berth.url}/v2/my-project/flood-${i}/manifests/v1`, { headers: from("198.51.100.9") });
  }
  const key = JSON.parse(robot.key) as { private_key_id: string };
  const wrong = JSON.stringify({ ...key, private_key_id: "0".repeat(40) });
  const reply = await fetch(`${berth.url}/v2/`, { headers: { ...from("203.0.113.7"), authorization: basic(wrong) } });
  expect(reply.status).toBe(401);
  const { organizations } = await mustCall<{ organizations: { name: string }[] }>(
    berth,
    "POST",
    "/v1/organizations:search",
    {},
  );
  const organization = organizations[0]?.name as string;
  await bind(berth, `/v1/${organization}`, bindingOf("roles/logging.viewer", adminEmail));
  const found = await entries('protoPayload.requestMetadata.callerIp="203.0.113.7"', { resourceNames: [organization] });
  expect(found.length).toBe(1);
});

test("one entry among thousands is found, in whatever block it stands", async () => {
  const database = openMetadata(berth.data);
  database.run(
    `WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 8999)
     INSERT INTO audit_log (at, principal, method, resource, request_id, client_address, detail, log, project_id)
     SELECT CAST(? AS BIGINT) + i, '', CASE i WHEN 5001 THEN 'Needle' ELSE 'Hay' END, '//x', '', '', '{}', 'activity',
       'my-project' FROM n`,
    [Date.now()],
  );
  database.close();
  for (const orderBy of ["timestamp asc", "timestamp desc"]) {
    expect((await entries('protoPayload.methodName="Needle"', { orderBy })).length).toBe(1);
  }
});

describe("looking for entries", () => {
  test("by pages, the newest first or the oldest", async () => {
    const page = async (orderBy: string): Promise<string[]> => {
      const ids: string[] = [];
      let pageToken: string | undefined;
      do {
        const query = {
          resourceNames: ["projects/my-project"],
          orderBy,
          pageSize: 3,
          ...(pageToken && { pageToken }),
          filter: 'severity="NOTICE" AND protoPayload.methodName!="Hay"',
        };
        const reply = await mustCall<{ entries?: Entry[]; nextPageToken?: string }>(
          berth,
          "POST",
          "/v2/entries:list",
          query,
        );
        expect((reply.entries ?? []).length).toBeLessThanOrEqual(3);
        ids.push(...(reply.entries ?? []).map(({ insertId }) => insertId));
        pageToken = reply.nextPageToken;
      } while (pageToken !== undefined);
      return ids;
    };
    const [newest, oldest] = [await page("timestamp desc"), await page("timestamp asc")];
    expect(newest.length).toBeGreaterThan(6);
    expect(new Set(newest).size).toBe(newest.length);
    expect(newest).toEqual(oldest.toReversed());
  });

  test("by time and by method, and as JSON lines", async () => {
    const first = (await entries('severity="NOTICE"', { orderBy: "timestamp asc" }))[0] as Entry;
    const since = await entries(`timestamp>"${first.timestamp}" AND severity="NOTICE"`);
    expect(since.every(({ timestamp }) => timestamp > first.timestamp)).toBe(true);
    expect(await entries('timestamp>"2100-01-01T00:00:00Z"')).toEqual([]);
    const lines = await (await berth.fetch("/berth/v1/audit:export?resource=projects/my-project")).text();
    const all = lines
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Entry);
    expect(all.length).toBeGreaterThan(since.length);
    expect(all.map(({ insertId }) => Number(insertId))).toEqual(
      all.map(({ insertId }) => Number(insertId)).sort((a, b) => a - b),
    );
  });

  test("a filter that cannot be read is refused and named", async () => {
    const reply = await berth.fetch("/v2/entries:list", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ resourceNames: ["projects/my-project"], filter: "nonsense ===" }),
    });
    expect([reply.status, await reply.text()]).toEqual([400, expect.stringContaining("filter")]);
  });
});

test("entries older than the retention are gone after a start", async () => {
  const { data } = berth;
  await berth.terminate();
  const database = openMetadata(data);
  const old = Date.now() - 3 * 86_400_000;
  database.run("UPDATE audit_log SET at = ?, first_at = ? WHERE id IN (SELECT id FROM audit_log ORDER BY id LIMIT 5)", [
    old,
    old,
  ]);
  const { n } = database.get("SELECT count(*) AS n FROM audit_log") as { n: number };
  database.close();
  berth = await startBerth({ data, args: ["--audit-retention", "2"] });
  await until(() => {
    const now = openMetadata(data);
    const left = now.get("SELECT count(*) AS n FROM audit_log WHERE at < ?", [Date.now() - 2 * 86_400_000]) as {
      n: number;
    };
    const all = now.get("SELECT count(*) AS n FROM audit_log") as { n: number };
    now.close();
    return left.n === 0 && all.n >= n - 5 ? true : undefined;
  }, 15_000);
});
