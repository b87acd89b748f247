import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { openSite, type Site } from "./site.ts";

interface Policy {
  version: number;
  etag: string;
  bindings?: { role: string; members: string[]; condition?: { title: string } }[];
}

let site: Site;
const bucket = "artifacts.my-project.appspot.com";
const robot = "serviceAccount:robot@my-project.iam.gserviceaccount.com";

beforeAll(async () => {
  site = await openSite();
  await site.text("service-account", "create", "robot");
  const body = JSON.stringify({ name: bucket });
  expect((await site.berth.fetch("/storage/v1/b?project=my-project", { method: "POST", body })).status).toBe(200);
});
afterAll(() => site.stop());

const expression = 'request.time < timestamp("2999-01-01T00:00:00Z")';

describe.each([
  ["the project my-project", ["--project", "my-project"], "roles/storage.objectViewer", "resourcemanager.projects.get"],
  [`the bucket ${bucket}`, ["--bucket", bucket], "roles/storage.objectViewer", "storage.objects.get"],
  [
    "the service account robot",
    ["--service-account", "robot"],
    "roles/iam.serviceAccountUser",
    "iam.serviceAccounts.actAs",
  ],
  [
    "the organization",
    ["--organization"],
    "roles/resourcemanager.organizationViewer",
    "resourcemanager.organizations.get",
  ],
])("%s", (name, target, role, permission) => {
  const grant = ["--role", role, "--member", robot];
  const held = async (): Promise<string[]> => {
    const { bindings = [] } = await site.json<Policy>("iam", "get-policy", ...target);
    return bindings.filter((each) => each.role === role).flatMap(({ members }) => members);
  };

  test("a binding is added once, and removed", async () => {
    const before = await held();
    const added = await site.text("iam", "add-binding", ...target, ...grant);
    expect(added).toStartWith(`gave ${robot} ${role} on ${name}`);
    expect(await held()).toEqual([...before, robot]);
    expect(await site.text("iam", "get-policy", ...target)).toMatch(new RegExp(`^${role} +${robot}$`, "m"));
    expect(await site.text("iam", "add-binding", ...target, ...grant)).toMatch(/already$/);
    expect(await site.text("iam", "remove-binding", ...target, ...grant)).toStartWith(`took ${role} on ${name}`);
    expect(await held()).toEqual(before);
    const again = await site.cli(["iam", "remove-binding", ...target, ...grant]);
    expect([again.code, again.stderr]).toEqual([
      1,
      expect.stringContaining(`${robot} does not have ${role} on ${name}`),
    ]);
  });

  test("a binding with a condition stands beside the one without", async () => {
    const condition = ["--condition-title", "soon", "--condition-expression", expression];
    await site.text("iam", "add-binding", ...target, ...grant, ...condition);
    expect(await site.text("iam", "get-policy", ...target)).toContain(`soon: ${expression}`);
    await site.text("iam", "add-binding", ...target, ...grant);
    await site.text("iam", "remove-binding", ...target, ...grant);
    const policy = await site.json<Policy>("iam", "get-policy", ...target);
    expect(policy.version).toBe(3);
    const { code, stderr } = await site.cli(["iam", "remove-binding", ...target, ...grant]);
    expect([code, stderr]).toEqual([1, expect.stringContaining("give the condition it has, or --all")]);
    await site.text("iam", "remove-binding", ...target, ...grant, "--all");
    expect(await held()).not.toContain(robot);
  });

  test("set-policy puts the policy that was read back, unless it was changed since", async () => {
    const file = join(site.scratch.path, "policy.json");
    writeFileSync(file, await site.text("iam", "get-policy", ...target, "--format", "json"));
    const set = ["iam", "set-policy", file, ...target];
    await site.text("iam", "add-binding", ...target, ...grant);
    const late = await site.cli(set);
    expect([late.code, late.stderr]).toEqual([1, expect.stringContaining("concurrent policy changes")]);
    await site.text("iam", "remove-binding", ...target, ...grant);
    const { etag: _, ...policy } = await site.json<Policy>("iam", "get-policy", ...target);
    const input = JSON.stringify(policy);
    const { code, stdout } = await site.cli(["iam", "set-policy", "-", ...target, "--format", "json"], { input });
    expect(code).toBe(0);
    expect((JSON.parse(stdout) as Policy).bindings).toEqual(policy.bindings as never);
  });

  test("test-permissions tells what the caller has", async () => {
    const test = ["iam", "test-permissions", permission, "pubsub.topics.publish", ...target];
    const held = await site.json<{ permission: string; held: boolean }[]>(...test);
    expect(held.map((each) => each.permission)).toEqual([permission, "pubsub.topics.publish"]);
    const lines = (await site.text(...test)).split("\n").map((line) => line.split(/ +/));
    expect(lines).toEqual([["PERMISSION", "HELD"], ...held.map((each) => [each.permission, each.held ? "yes" : "no"])]);
  });
});

test("many who add bindings at once overwrite nobody", async () => {
  const members = Array.from({ length: 6 }, (_, i) => `user:person${i}@example.com`);
  const add = (member: string) =>
    site.text("iam", "add-binding", "--project", "my-project", "--role", "roles/browser", "--member", member);
  await Promise.all(members.map(add));
  const { bindings } = await site.json<Policy>("iam", "get-policy", "--project", "my-project");
  expect(bindings?.find(({ role }) => role === "roles/browser")?.members.sort()).toEqual(members);
});

test("the last owner stays", async () => {
  const { bindings } = await site.json<Policy>("iam", "get-policy", "--project", "my-project");
  const owners = bindings?.find(({ role }) => role === "roles/owner")?.members ?? [];
  const remove = (member: string) =>
    site.cli(["iam", "remove-binding", "--project", "my-project", "--role", "roles/owner", "--member", member]);
  for (const owner of owners.slice(1)) expect((await remove(owner)).code).toBe(0);
  const { code, stderr } = await remove(owners[0] as string);
  expect([code, stderr]).toEqual([1, expect.stringContaining("leaves the project without an owner")]);
});

test("what cannot be a policy is refused before it is sent", async () => {
  const wrong = join(site.scratch.path, "wrong.json");
  writeFileSync(wrong, "[]");
  const rows: [string[], number, string][] = [
    [["iam", "set-policy", wrong, "--project", "my-project"], 1, "holds no JSON object"],
    [["iam", "set-policy", "/no/such/file", "--project", "my-project"], 1, "ENOENT"],
    [["iam", "get-policy"], 2, "give one of --project, --bucket, --service-account, --organization"],
    [["iam", "get-policy", "--project", "my-project", "--bucket", bucket], 2, "give one of"],
    [
      ["iam", "add-binding", "--project", "p", "--role", "r", "--member", "m", "--condition-title", "t"],
      2,
      "a condition has --condition-title and --condition-expression",
    ],
    [["iam", "add-binding", "--project", "p", "--role", "r"], 2, "--member is missing"],
    [["iam", "test-permissions", "--project", "p"], 2, "PERMISSION is missing"],
  ];
  for (const [args, code, message] of rows) {
    const said = await site.cli(args);
    expect([args, said.code, said.stderr]).toEqual([args, code, expect.stringContaining(message)]);
    if (code === 2) expect(said.stderr).toContain(`\nusage: berth ${args.slice(0, 2).join(" ")} `);
  }
});
