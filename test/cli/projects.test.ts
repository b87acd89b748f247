import { afterAll, beforeAll, expect, test } from "bun:test";
import { openSite, type Site } from "./site.ts";

let site: Site;
beforeAll(async () => {
  site = await openSite();
});
afterAll(() => site.stop());

test("a project is made, found, described, deleted and brought back", async () => {
  const { text, json, facts } = site;
  expect(await text("project", "create", "web-shop", "--name", "Web  Shop", "--label", "team=a", "--label", "x=")).toBe(
    "made the project web-shop",
  );
  expect((await text("project", "list")).split("\n").map((line) => line.replace(/\d{12}/, "NUMBER"))).toEqual([
    "PROJECT     NAME        NUMBER        STATE",
    "my-project  My Project  NUMBER  ACTIVE",
    "web-shop    Web Shop    NUMBER  ACTIVE",
  ]);
  expect(await json<object[]>("project", "list", "--filter", "labels.team:a")).toMatchObject([
    { projectId: "web-shop", displayName: "Web  Shop", labels: { team: "a", x: "" } },
  ]);
  expect(await facts("project", "describe", "web-shop")).toMatchObject({ projectId: "web-shop", state: "ACTIVE" });
  expect(await text("project", "delete", "web-shop")).toMatch(
    /^deleted the project web-shop; until \d{4}-\d\d-\d\d, `berth project undelete web-shop` brings it back$/,
  );
  expect(await json<object>("project", "describe", "web-shop")).toMatchObject({ state: "DELETE_REQUESTED" });
  expect(await json<object>("project", "undelete", "web-shop")).toMatchObject({ state: "ACTIVE" });
});

test("a project is renamed, and its labels replaced", async () => {
  const { text, json } = site;
  await text("project", "create", "renamed", "--name", "Before", "--label", "a=1", "--label", "b=2");
  expect(await text("project", "update", "renamed", "--name", "After")).toBe("changed the project renamed");
  const labels = { a: "1", b: "2" };
  expect(await json<object>("project", "describe", "renamed")).toMatchObject({ displayName: "After", labels });
  await text("project", "update", "renamed", "--label", "c=3");
  expect(await json<{ labels: object }>("project", "describe", "renamed")).toMatchObject({ labels: { c: "3" } });
  const nothing = await site.cli(["project", "update", "renamed"]);
  expect([nothing.code, nothing.stderr]).toEqual([2, expect.stringContaining("nothing is to be changed")]);
});

test("a domain-scoped project is one name", async () => {
  expect(await site.json<object>("project", "create", "example.com:shop-two")).toMatchObject({
    projectId: "example.com:shop-two",
  });
  const made = await site.json<{ email: string }>(
    "service-account",
    "create",
    "bot",
    "--project",
    "example.com:shop-two",
  );
  expect(made.email).toBe("bot@shop-two.example.com.iam.gserviceaccount.com");
  const described = await site.facts("service-account", "describe", "bot", "--project", "example.com:shop-two");
  expect(described.email).toBe(made.email);
});

test("an empty list is nothing on standard output", async () => {
  const args = ["project", "list", "--filter", "id:none-such"];
  expect(await site.cli(args)).toEqual({ code: 0, stdout: "", stderr: "berth: there are none\n" });
  expect(await site.json<object[]>(...args)).toEqual([]);
});

test("the server's refusals are told in its words, with exit code 1", async () => {
  const rows: [string[], string][] = [
    [["project", "create", "my-project"], "Requested entity already exists: the project id my-project is taken."],
    [
      ["project", "create", "No"],
      "Invalid value at 'projectId': expected 6 to 30 lower-case letters, digits and dashes",
    ],
    [["project", "describe", "other/../my-project"], "Permission 'resourcemanager.projects.get' denied on resource"],
    [["project", "undelete", "my-project"], "The project is active."],
    [["project", "list", "--filter", "nonsense"], 'filter: "nonsense" is not KEY:VALUE'],
  ];
  for (const [args, message] of rows) {
    const { code, stdout, stderr } = await site.cli(args);
    expect({ args, code, stdout }).toEqual({ args, code: 1, stdout: "" });
    expect(stderr).toStartWith(`berth: ${message}`);
  }
});
