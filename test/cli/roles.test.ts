import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { openSite, type Site } from "./site.ts";

interface Role {
  name: string;
  title: string;
  includedPermissions?: string[];
}

let site: Site;
beforeAll(async () => {
  site = await openSite();
});
afterAll(() => site.stop());

test("predefined roles are listed and described", async () => {
  const lines = (await site.text("role", "list")).split("\n");
  expect(lines[0]).toMatch(/^ROLE +TITLE +STAGE$/);
  expect(lines.length).toBeGreaterThan(50);
  const viewer = await site.text("role", "describe", "roles/storage.objectViewer");
  expect(viewer).toMatch(/^includedPermissions +\S+\n( +\S+\n)+stage +GA$/m);
  expect(await site.json<Role>("role", "describe", "roles/storage.objectViewer")).toMatchObject({
    includedPermissions: expect.arrayContaining(["storage.objects.get"]) as string[],
  });
});

describe.each([
  ["a project", [], ["--project", "my-project"], /^projects\/my-project\/roles\/puller$/],
  ["the organization", ["--organization"], ["--organization"], /^organizations\/\d+\/roles\/puller$/],
])("custom roles of %s", (_, scope, listed, pattern) => {
  test("are made, changed, deleted and brought back", async () => {
    const { text, json } = site;
    const content = [
      "--title",
      "Puller",
      "--permissions",
      "storage.objects.get,storage.buckets.get",
      "--stage",
      "beta",
    ];
    const { name } = await json<Role>("role", "create", "puller", ...scope, ...content);
    expect(name).toMatch(pattern);
    const change = ["--add-permissions", "storage.objects.list", "--remove-permissions", "storage.buckets.get"];
    expect(await text("role", "update", "puller", ...scope, ...change)).toBe(`changed the role ${name}`);
    expect(await json<Role>("role", "update", name, "--title", "P", "--description", "")).toMatchObject({
      title: "P",
      stage: "BETA",
      includedPermissions: ["storage.objects.get", "storage.objects.list"],
    });
    expect(await text("role", "delete", "puller", ...scope)).toBe(`deleted the role ${name}`);
    expect(await json<Role[]>("role", "list", ...listed)).toEqual([]);
    expect(await text("role", "list", ...listed, "--deleted")).toMatch(/puller +P +deleted$/m);
    expect(await text("role", "undelete", "puller", ...scope)).toBe(`brought back the role ${name}`);
    expect(await text("role", "list", ...listed)).toMatch(/puller +P +BETA$/m);
  });
});

test("what is no change is refused", async () => {
  const rows: [string[], number, string][] = [
    [["role", "update", "puller"], 2, "say what to change"],
    [["role", "update", "puller", "--permissions", "a", "--add-permissions", "b"], 2, "give --permissions, or"],
    [["role", "list", "--project", "p", "--organization"], 2, "give one of --project, --organization"],
    [["role", "create", "other", "--permissions", "nonsense.x.y"], 1, "permission nonsense.x.y is not valid"],
    [["role", "describe", "roles/none"], 1, "The role named roles/none was not found."],
  ];
  for (const [args, code, message] of rows) {
    const said = await site.cli(args);
    expect([args, said.code, said.stderr]).toEqual([args, code, expect.stringContaining(message)]);
  }
});
