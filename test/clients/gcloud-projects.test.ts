import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { type Account, makeAccount } from "../harness/accounts.ts";
import { type Berth, startBerth } from "../harness/berth.ts";
import { type Gcloud, inPairs, openGcloud } from "../harness/gcloud.ts";
import { makeScratch } from "../harness/scratch.ts";
import { describeInstalled } from "../harness/suites.ts";
import { adminEmail } from "../harness/tenants.ts";

setDefaultTimeout(60_000);

interface Policy {
  etag: string;
  version: number;
  bindings: { role: string; members: string[]; condition?: { title: string; expression: string } }[];
}

describeInstalled(["gcloud"], "gcloud projects", () => {
  const scratch = makeScratch();
  let berth: Berth;
  let gcloud: Gcloud;
  let robot: Account;
  let organization: string;

  beforeAll(async () => {
    berth = await startBerth();
    [gcloud, robot] = await Promise.all([openGcloud(berth, scratch), makeAccount(berth, "robot")]);
    organization = await gcloud.text("organizations", "list", "--format=value(name.basename())");
    await inPairs(
      () => gcloud.text("projects", "create", "tenant-one", "--name=Tenant One", "--labels=team=a,stage=test"),
      () => gcloud.text("projects", "create", "tenant-two", `--organization=${organization}`),
    );
  });

  afterAll(async () => {
    await berth.stop();
    await scratch.remove();
  });

  const list = async (filter?: string): Promise<string[]> => {
    const args = filter === undefined ? [] : [`--filter=${filter}`];
    return (await gcloud.text("projects", "list", "--format=value(projectId)", ...args)).split("\n").filter(Boolean);
  };

  test("creates, describes and lists them", async () => {
    const [one, two, all] = await inPairs<unknown>(
      () => gcloud.json("projects", "describe", "tenant-one"),
      () => gcloud.json("projects", "describe", "tenant-two"),
      () => list(),
    );
    expect(one).toEqual({
      createTime: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/),
      labels: { stage: "test", team: "a" },
      lifecycleState: "ACTIVE",
      name: "Tenant One",
      parent: { id: organization, type: "organization" },
      projectId: "tenant-one",
      projectNumber: expect.stringMatching(/^\d+$/),
    });
    expect(two).toMatchObject({ name: "tenant-two", parent: { id: organization, type: "organization" } });
    expect(all).toEqual(["my-project", "tenant-one", "tenant-two"]);
  });

  test("takes an id once, and no id that is in use", async () => {
    const { code, output } = await gcloud.attempt(["projects", "create", "tenant-one"]);
    expect([code, output]).toEqual([1, expect.stringMatching(/already (exists|in use)/)]);
  });

  // gcloud puts every filter in brackets, behind its own: `lifecycleState:ACTIVE AND (labels.team=a)`.
  describe("lists what a filter lets through", () => {
    const filters: [string, string[]][] = [
      ["labels.team=a", ["tenant-one"]],
      ["labels.team:*", ["tenant-one"]],
      ["projectId:tenant*", ["tenant-one", "tenant-two"]],
      ["projectId=(tenant-two my-project)", ["my-project", "tenant-two"]],
      ['name:"Tenant One" AND labels.stage=test', ["tenant-one"]],
      ["NOT labels.team=a", ["my-project", "tenant-two"]],
    ];
    for (const [filter, expected] of filters) {
      test(filter, async () => expect(await list(filter)).toEqual(expected));
    }
  });

  test("renames one, and tells its ancestors", async () => {
    await gcloud.text("projects", "update", "tenant-two", "--name=Second tenant");
    const [name, ancestors] = await inPairs<unknown>(
      () => gcloud.text("projects", "describe", "tenant-two", "--format=value(name)"),
      () => gcloud.json("projects", "get-ancestors", "tenant-two"),
    );
    expect(name).toBe("Second tenant");
    expect(ancestors).toEqual([
      { id: "tenant-two", type: "project" },
      { id: organization, type: "organization" },
    ]);
  });

  test("deletes one and brings it back", async () => {
    await gcloud.text("projects", "delete", "tenant-two");
    const [state, active, deleted] = await inPairs<unknown>(
      () => gcloud.text("projects", "describe", "tenant-two", "--format=value(lifecycleState)"),
      () => list(),
      () => list("lifecycleState:DELETE_REQUESTED"),
    );
    expect(state).toBe("DELETE_REQUESTED");
    expect(active).toEqual(["my-project", "tenant-one"]);
    expect(deleted).toEqual(["tenant-two"]);
    await gcloud.text("projects", "undelete", "tenant-two");
    expect(await list()).toEqual(["my-project", "tenant-one", "tenant-two"]);
  });

  test("one that does not exist looks as one that is not allowed", async () => {
    const stranger = await openGcloud(berth, scratch, { key: robot.key });
    const attempts = await inPairs(
      () => gcloud.attempt(["projects", "describe", "nothing-here"]),
      () => stranger.attempt(["projects", "describe", "tenant-one"]),
      () => stranger.attempt(["projects", "list"]),
    );
    for (const { code, output } of attempts.slice(0, 2)) {
      expect([code, output]).toEqual([1, expect.stringContaining("does not have permission to access projects")]);
    }
    expect(attempts[2]?.output).toContain("Listed 0 items.");
  });

  describe("policies", () => {
    const member = (): string => `serviceAccount:${robot.email}`;
    const policyOf = (project: string): Promise<Policy> => gcloud.json("projects", "get-iam-policy", project);
    const change = (verb: "add" | "remove", role: string, ...more: string[]): string[] => {
      const binding = [`--member=${member()}`, `--role=${role}`, ...more];
      return ["projects", `${verb}-iam-policy-binding`, "tenant-one", ...binding];
    };

    test("a new project belongs to whoever made it", async () => {
      expect((await policyOf("tenant-one")).bindings).toContainEqual({
        role: "roles/owner",
        members: [`serviceAccount:${adminEmail}`],
      });
    });

    test("a binding is added, works, and is taken away", async () => {
      const stranger = await openGcloud(berth, scratch, { key: robot.key });
      const describes = ["projects", "describe", "tenant-one", "--format=value(projectId)"];
      const changed = await gcloud.json<Policy>(...change("add", "roles/viewer"));
      expect(changed.bindings).toContainEqual({ role: "roles/viewer", members: [member()] });
      expect(await stranger.text(...describes)).toBe("tenant-one");
      const after = await gcloud.json<Policy>(...change("remove", "roles/viewer"));
      expect(after.bindings.map(({ role }) => role)).not.toContain("roles/viewer");
      expect((await stranger.attempt(describes)).code).toBe(1);
    });

    test("a binding with a condition stands beside one without", async () => {
      const condition = { title: "until-2090", expression: "request.time < timestamp('2090-01-01T00:00:00Z')" };
      const role = "roles/storage.objectViewer";
      const flag = `--condition=title=${condition.title},expression=${condition.expression}`;
      await gcloud.text(...change("add", role, flag));
      const both = await gcloud.json<Policy>(...change("add", role, "--condition=None"));
      expect(both.version).toBe(3);
      expect(both.bindings.filter((binding) => binding.role === role)).toEqual([
        { role, members: [member()], condition },
        { role, members: [member()] },
      ]);
      const left = await gcloud.json<Policy>(...change("remove", role, "--all"));
      expect(left.bindings.map((binding) => binding.role)).not.toContain(role);
    });

    test("a policy is written as a whole; one that was read before another's change is refused", async () => {
      const read = await policyOf("tenant-one");
      const file = join(scratch.directory("policy"), "policy.json");
      const write = ["projects", "set-iam-policy", "tenant-one", file];
      await Bun.write(file, JSON.stringify({ ...read, bindings: [...read.bindings, viewer(member())] }));
      expect((await gcloud.json<Policy>(...write)).bindings).toContainEqual(viewer(member()));
      const now = await policyOf("tenant-one");
      const { code, output } = await gcloud.attempt(write);
      expect([code, output]).toEqual([1, expect.stringContaining("There were concurrent policy changes.")]);
      expect(await policyOf("tenant-one")).toEqual(now);
    });

    test("what cannot be given is refused with the reason", async () => {
      const refused = await inPairs(
        () => gcloud.attempt(change("add", "roles/storage.legacyBucketWriter")),
        () => gcloud.attempt(change("add", "roles/nothing")),
        () =>
          gcloud.attempt(["projects", "add-iam-policy-binding", "tenant-one", "--member=bogus", "--role=roles/viewer"]),
      );
      expect(refused.map(({ code }) => code)).toEqual([1, 1, 1]);
      expect(refused[0]?.output).toContain("roles/storage.legacyBucketWriter is not supported for this resource");
      expect(refused[1]?.output).toContain("roles/nothing is not supported for this resource");
      expect(refused[2]?.output).toContain("INVALID_ARGUMENT");
    });
  });
});

const viewer = (member: string): Policy["bindings"][number] => ({ role: "roles/browser", members: [member] });
