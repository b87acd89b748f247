import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { berthCommand } from "../harness/berth.ts";
import { openSite, type Site } from "./site.ts";
import { openMetadata } from "../harness/metadata.ts";

interface Entry {
  timestamp: string;
  protoPayload: { methodName: string; authenticationInfo: { principalSubject: string; principalEmail?: string } };
}

let site: Site;
const owner = "owner@my-project.iam.gserviceaccount.com";

/** Entries that are of an earlier time, so that there are more than a page or a pipe holds. */
const many = 2500;

beforeAll(async () => {
  site = await openSite();
  await site.text("service-account", "create", "one");
  await site.text("service-account", "create", "two");
  using database = openMetadata(site.berth.data);
  // Entries older than the project are another's of its name.
  database.run("UPDATE projects SET created_at = 1600000000000");
  database.run("UPDATE versions SET value = value + 1 WHERE name = 'projects'");
  database.run(
    `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
     INSERT INTO audit_log (at, principal, method, resource, request_id, client_address, detail, project_id)
     SELECT 1700000000000 + CAST(i AS BIGINT) * 1000, 'user:old@example.com', 'old.Method', '//r', 'id', '::1', '{}', 'my-project' FROM n`,
    [many],
  );
});
afterAll(() => site.stop());

test("read shows the newest entries first", async () => {
  const text = await site.text("audit", "read", "--principal", owner);
  const [head, first, second] = text.split("\n").map((line) => line.split(/ {2,}/));
  expect(head).toEqual(["TIME", "WHO", "METHOD", "RESOURCE", "RESULT", "TIMES"]);
  expect([first?.[1], first?.[2], first?.[4]]).toEqual([`serviceAccount:${owner}`, "v1.CreateServiceAccount", "done"]);
  expect(first?.[3]).not.toBe(second?.[3]);
  const entries = await site.json<Entry[]>("audit", "read", "--from", "1h", "--limit", "1");
  expect(entries).toHaveLength(1);
});

test("read takes as many pages as the limit needs", async () => {
  const old = ["audit", "read", "--principal", "user:old@example.com"];
  expect(await site.json<Entry[]>(...old)).toHaveLength(50);
  const entries = await site.json<Entry[]>(...old, "--limit", "2400");
  expect(entries).toHaveLength(2400);
  expect(new Set(entries.map(({ timestamp }) => timestamp)).size).toBe(2400);
});

test("filters, times and principals all count together", async () => {
  const count = async (...args: string[]): Promise<number> =>
    (await site.json<Entry[]>("audit", "read", "--limit", "5000", ...args)).length;
  expect(await count("--from", "2023-11-14T22:13:21Z", "--to", "2023-11-14T22:13:24Z")).toBe(3);
  expect(await count("--to", "2023-11-15")).toBe(many);
  expect(await count("--from", "2h", "--principal", "old@example.com")).toBe(0);
  expect(await count("--filter", 'protoPayload.methodName:"CreateServiceAccount"')).toBe(2);
  expect(
    await count("--filter", 'protoPayload.methodName:"CreateServiceAccount"', "--principal", "x@example.com"),
  ).toBe(0);
});

test("export streams JSON lines, the oldest first", async () => {
  const { code, stdout, stderr } = await site.cli(["audit", "export", "--project", "my-project"]);
  const entries = stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Entry);
  expect({ code, stderr, count: entries.length >= many + 2 }).toEqual({ code: 0, stderr: "", count: true });
  const few = await site.text("audit", "export", "--limit", "3", "--principal", "old@example.com");
  expect(few.split("\n")).toHaveLength(3);
  expect(few).toContain("2023-11-14T22:13:21.000Z");
  expect(await site.text("audit", "export", "--to", "2020-01-01")).toBe("");
});

test("who has read enough of an export ends it", async () => {
  const command = [...berthCommand(), "audit", "export", "--key-file", join(site.berth.data, "admin-key.json")];
  const script = '"$@" | head -n 1; echo "${PIPESTATUS[0]}"';
  const child = Bun.spawn(["bash", "-c", script, "bash", ...command], { stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  expect({ lines: stdout.split("\n").length, end: stdout.slice(-3), stderr }).toEqual({
    lines: 3,
    end: "\n0\n",
    stderr: "",
  });
});

test("the whole server's log takes a right on the organization", async () => {
  const refused = await site.cli(["audit", "read", "--organization"]);
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("'logging.logEntries.list' denied")]);
  const grant = ["--role", "roles/logging.privateLogViewer", "--member", `serviceAccount:${owner}`];
  await site.text("iam", "add-binding", "--organization", ...grant);
  await site.text("group", "create", "auditors@example.com");
  const made = 'protoPayload.methodName="berth.groups.Create"';
  const entries = await site.json<Entry[]>("audit", "read", "--organization", "--filter", made);
  expect(entries).toMatchObject([{ protoPayload: { methodName: "berth.groups.Create" } }]);
  expect(await site.text("audit", "export", "--organization", "--from", "1h")).toContain("berth.groups.Create");
});

test("what cannot be understood is refused", async () => {
  const rows: [string[], number, string][] = [
    [["--from", "yesterday"], 2, "--from: yesterday is no time"],
    [["--to", "2026-13-45"], 2, "--to: 2026-13-45 is no time"],
    [["--limit", "0"], 2, "--limit: 0 is no number of entries"],
    [["--project", "p", "--organization"], 2, "give one of --project, --organization"],
    [["--filter", "nonsense=1"], 1, "filter: the field nonsense is not known"],
  ];
  for (const [args, code, message] of rows) {
    for (const verb of ["read", "export"]) {
      const said = await site.cli(["audit", verb, ...args]);
      expect([args, said.code, said.stderr]).toEqual([args, code, expect.stringContaining(message)]);
    }
  }
  expect((await site.cli(["audit", "export", "--format", "json"])).stderr).toContain("there is no option --format");
});
