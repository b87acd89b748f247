import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Berth, startBerth } from "../harness/berth.ts";
import { makeScratch, type Scratch } from "../harness/scratch.ts";
import { run } from "../harness/tools.ts";
import { runCli, type Said, signIn } from "./site.ts";
import { openMetadata } from "../harness/metadata.ts";

let scratch: Scratch;
let data: string;
let berth: Berth | undefined;
const owner = "serviceAccount:owner@my-project.iam.gserviceaccount.com";
const adminRoles = [
  "roles/resourcemanager.organizationAdmin",
  "roles/resourcemanager.projectCreator",
  "roles/iam.organizationRoleAdmin",
  "roles/berth.admin",
];

beforeEach(async () => {
  scratch = makeScratch();
  data = scratch.directory("data");
  berth = await startBerth({ data });
});
afterEach(async () => {
  await berth?.stop();
  await scratch.remove();
});

async function stop(): Promise<void> {
  await berth?.terminate();
  berth = undefined;
}

const cli = (...args: string[]): Promise<Said> =>
  runCli(args, { env: { BERTH_KEY_FILE: join(data, "admin-key.json"), BERTH_SERVER: berth?.url } });
const recover = (...args: string[]): Promise<Said> => runCli(["iam", "recover", "--data", data, ...args]);

function change(...statements: string[]): void {
  using database = openMetadata(data);
  for (const sql of statements) database.run(sql);
}

/** Nobody owns anything any more, as after a mistake that no guard caught. */
const lockOut = "UPDATE policies SET bindings = '[]'";

async function operator(): Promise<string> {
  return (await run(["id", "-un"])).trim();
}

test("a lock-out, and the way in again", async () => {
  expect((await cli("project", "describe", "my-project")).code).toBe(0);
  expect((await cli("project", "create", "other-one")).code).toBe(0);
  await stop();
  change(lockOut, "DELETE FROM policy_members");
  berth = await startBerth({ data });
  for (const args of [
    ["project", "describe", "my-project"],
    ["project", "create", "web-one"],
    ["user", "list"],
    ["iam", "get-policy", "--project", "other-one"],
    ["iam", "add-binding", "--project", "my-project", "--member", owner, "--role", "roles/owner"],
  ]) {
    expect([args, (await cli(...args)).stderr]).toEqual([
      args,
      expect.stringMatching(/^berth: Permission '.+' denied/),
    ]);
  }
  await stop();

  const said = await recover("--member", owner);
  expect({ ...said, stdout: said.stdout.replaceAll(/organizations\/\d+/g, "ORGANIZATION").split("\n") }).toEqual({
    code: 0,
    stdout: [
      `gave ${owner} roles/owner on projects/my-project`,
      `gave ${owner} roles/owner on projects/other-one`,
      ...adminRoles.map((role) => `gave ${owner} ${role} on ORGANIZATION`),
      "",
    ],
    stderr: "",
  });
  expect(await recover("--member", owner)).toEqual({ code: 0, stdout: `${owner} has all of it already\n`, stderr: "" });

  berth = await startBerth({ data });
  for (const args of [
    ["project", "describe", "other-one"],
    ["project", "create", "web-one"],
    ["user", "list"],
    ["role", "list"],
  ]) {
    expect([args, await cli(...args)]).toMatchObject([args, { code: 0, stderr: "" }]);
  }
  const grant = ["--role", "roles/logging.privateLogViewer", "--member", owner];
  expect((await cli("iam", "add-binding", "--organization", ...grant)).code).toBe(0);

  const principal = `recovery:${await operator()}`;
  const log = await cli("audit", "read", "--organization", "--principal", principal, "--format", "json");
  const entries = JSON.parse(log.stdout) as { protoPayload: { resourceName: string; metadata: object } }[];
  expect(entries.map(({ protoPayload }) => protoPayload.resourceName).sort()).toEqual([
    expect.stringMatching(/^organizations\/\d+$/) as unknown as string,
    "projects/my-project",
    "projects/other-one",
  ]);
  expect(entries.find(({ protoPayload }) => protoPayload.resourceName === "projects/my-project")).toMatchObject({
    severity: "NOTICE",
    protoPayload: {
      methodName: "berth.recovery.Recover",
      authenticationInfo: { principalSubject: principal },
      metadata: { policyDelta: { bindingDeltas: [{ action: "ADD", role: "roles/owner", member: owner }] } },
    },
  });
  expect((await cli("audit", "read", "--project", "my-project", "--principal", principal)).stdout).toContain(
    "recovery.Recover",
  );
});

test("a user who is made for it signs in with the password that is shown once", async () => {
  await stop();
  change(lockOut);
  const said = await recover("--member", "user:New@Example.com", "--create-user", "--format", "json");
  const made = JSON.parse(said.stdout) as { password: string; member: string; grants: object[] };
  expect(made).toMatchObject({ member: "user:new@example.com", grants: { length: 5 } });
  berth = await startBerth({ data });
  const token = await signIn(berth, "new@example.com", made.password);
  const env = { BERTH_ACCESS_TOKEN: token, BERTH_SERVER: berth.url };
  expect((await runCli(["project", "describe", "my-project"], { env })).code).toBe(0);
  expect((await runCli(["user", "list"], { env })).stdout).toContain("new@example.com");
});

describe("projects that somebody owns are left alone", () => {
  const bindings = (member: string) => `'[{"role":"roles/owner","members":["${member}"]}]'`;
  const own = (member: string): string =>
    `UPDATE policies SET bindings = ${bindings(member)} WHERE resource LIKE '%/projects/my-project'`;
  const group = [
    "INSERT INTO groups VALUES ('7', 'g@example.com', '', '', 0), ('8', 'h@example.com', '', '', 0)",
    `INSERT INTO group_members VALUES ('7', 'group:h@example.com', 'local', 0), ('8', 'group:g@example.com', 'local', 0)`,
  ];
  const rows: [string, boolean, string[]][] = [
    ["a user", true, [own("user:admin@berth.local")]],
    ["a user who is disabled", false, [own("user:admin@berth.local"), "UPDATE users SET disabled = 1"]],
    ["a user who does not exist", false, [own("user:gone@berth.local")]],
    ["a service account", true, [own(owner)]],
    ["one that is disabled", false, [own(owner), "UPDATE service_accounts SET disabled = 1"]],
    ["one whose keys are", false, [own(owner), "UPDATE service_account_keys SET disabled = 1"]],
    ["one without a key", false, [own(owner), "DELETE FROM service_account_keys"]],
    ["one of a deleted project", false, [own(owner), "UPDATE projects SET delete_requested_at = 1"]],
    ["a domain", true, [own("domain:berth.local")]],
    ["a domain without users", false, [own("domain:other.example")]],
    ["groups of each other", false, [own("group:g@example.com"), ...group]],
    [
      "a group with a user",
      true,
      [
        own("group:g@example.com"),
        ...group,
        "INSERT INTO group_members VALUES ('8', 'user:admin@berth.local', 'local', 0)",
      ],
    ],
  ];
  test("however they are owned", async () => {
    await stop();
    for (const [name, isAlive, statements] of rows) {
      const copy = `${data}-${rows.findIndex((row) => row[0] === name)}`;
      await run(["cp", "-a", data, copy]);
      using database = openMetadata(copy);
      for (const sql of statements) database.run(sql);
      database.close();
      const args = ["iam", "recover", "--data", copy, "--member", "user:new@example.com", "--create-user"];
      const { code, stdout } = await runCli(args);
      const isGiven = stdout.includes("roles/owner on projects/my-project");
      expect({ name, code, isAlive: !isGiven }).toEqual({ name, code: 0, isAlive });
      rmSync(copy, { recursive: true });
    }
  });

  test("unless they are named", async () => {
    await stop();
    const { code, stdout } = await recover("--member", "user:admin@berth.local", "--project", "my-project");
    expect({ code, stdout }).toEqual({ code: 0, stdout: "user:admin@berth.local has all of it already\n" });
    const other = await recover("--member", "user:new@example.com", "--create-user", "--project", "my-project");
    expect(other.stdout).toContain("gave user:new@example.com roles/owner on projects/my-project");
  });
});

describe("refused, with nothing changed", () => {
  test("while a server runs", async () => {
    expect(await recover("--member", owner)).toEqual({
      code: 1,
      stdout: "",
      stderr: `berth: another Berth is running on the data directory ${data}; stop it, or choose another with --data\n`,
    });
  });

  test("for whom it would be of no use", async () => {
    const robot = "serviceAccount:robot@my-project.iam.gserviceaccount.com";
    await cli("service-account", "create", "robot");
    await cli("user", "create", "off@example.com");
    await cli("user", "disable", "off@example.com");
    await stop();
    change(lockOut);
    const rows: [string[], string][] = [
      [["--member", "user:no@example.com"], "the user no@example.com does not exist: --create-user makes it"],
      [["--member", "user:off@example.com"], "the user off@example.com is disabled: name another"],
      [["--member", "user:admin@berth.local", "--create-user"], "is there already: leave out --create-user"],
      [["--member", "serviceAccount:no@my-project.iam.gserviceaccount.com"], "does not exist: name a user"],
      [["--member", robot], "is disabled, or without a key that is good"],
      [["--member", robot, "--create-user"], "--create-user is for a user:EMAIL"],
      [["--member", "group:devs@example.com"], "--member: expected user:EMAIL or serviceAccount:EMAIL"],
      [["--member", "admin@berth.local"], "--member: expected user:EMAIL or serviceAccount:EMAIL"],
      [["--member", "user:new@example.com", "--create-user", "--project", "none"], "the project none does not exist"],
    ];
    for (const [args, message] of rows) {
      expect([args, await recover(...args)]).toEqual([
        args,
        { code: 1, stdout: "", stderr: expect.stringContaining(message) as string },
      ]);
    }
    using database = openMetadata(data);
    const sql = "SELECT count(*) AS n FROM audit_log WHERE principal LIKE 'recovery:%'";
    expect(database.get(sql)).toEqual({ n: 0 });
    expect(database.all("SELECT email FROM users WHERE email LIKE 'new@%'")).toEqual([]);
  });

  test("on a directory that is none of Berth's", async () => {
    const empty = scratch.directory("empty");
    const args = ["iam", "recover", "--member", owner, "--data"];
    for (const path of [empty, join(empty, "deeper")]) {
      const { code, stderr } = await runCli([...args, path]);
      expect([code, stderr]).toEqual([1, `berth: ${path} is no data directory of Berth; name it with --data\n`]);
    }
    writeFileSync(join(empty, "berth.db"), "this is no database, however it is called, and stays what it is");
    const { code, stderr } = await runCli([...args, empty]);
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^berth: .*not a database\n$/)]);
  });
});
