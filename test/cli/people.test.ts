import { afterAll, beforeAll, expect, test } from "bun:test";
import { openSite, signIn, type Site } from "./site.ts";

let site: Site;
beforeAll(async () => {
  site = await openSite();
});
afterAll(() => site.stop());

const canSignIn = (email: string, password: string): Promise<boolean> =>
  signIn(site.berth, email, password).then(
    () => true,
    () => false,
  );

test("a user gets a password that is shown once", async () => {
  const said = await site.text("user", "create", "ann@example.com", "--display-name", "Ann");
  const password = /^made the user ann@example\.com\npassword \(shown only now\): (\S{15,})$/.exec(said)?.[1] as string;
  expect(await canSignIn("ann@example.com", password)).toBe(true);
  expect(JSON.stringify(await site.json("user", "describe", "ann@example.com"))).not.toContain(password);
  const other = await site.json<{ password: string }>("user", "create", "bob@example.com");
  expect(await canSignIn("bob@example.com", other.password)).toBe(true);
  const list = await site.text("user", "list");
  expect(list).toMatch(/^EMAIL +NAME +SIGNS IN +STATE$/m);
  expect(list).toMatch(/^ann@example\.com +Ann +with a password +enabled$/m);
});

test("a password comes from standard input, and never from the command line", async () => {
  const input = "correct horse battery\n";
  const create = ["user", "create", "carl@example.com", "--password-stdin"];
  expect(await site.cli(create, { input })).toEqual({
    code: 0,
    stdout: "made the user carl@example.com\n",
    stderr: "",
  });
  expect(await canSignIn("carl@example.com", "correct horse battery")).toBe(true);
  const set = ["user", "set-password", "carl@example.com"];
  const changed = { code: 0, stdout: "changed the password of carl@example.com\n", stderr: "" };
  expect(await site.cli([...set, "--password-stdin"], { input: "pässwort mit fünf Wörtern" })).toEqual(changed);
  expect(await canSignIn("carl@example.com", "pässwort mit fünf Wörtern")).toBe(true);
  const { password } = await site.json<{ password: string }>(...set);
  expect(await canSignIn("carl@example.com", password)).toBe(true);
  const weak = await site.cli([...set, "--password-stdin"], { input: "short" });
  expect(weak).toEqual({ code: 1, stdout: "", stderr: "berth: password: it has fewer than 15 characters.\n" });
  const inLine = await site.cli([...set, "--password=correct horse battery"]);
  expect([inLine.code, inLine.stderr]).toEqual([2, expect.not.stringContaining("horse")]);
});

test("a user is disabled, enabled and deleted", async () => {
  const { password } = await site.json<{ password: string }>("user", "create", "dora@example.com");
  expect(await site.text("user", "disable", "dora@example.com")).toBe("disabled the user dora@example.com");
  expect(await site.facts("user", "describe", "dora@example.com")).toMatchObject({ disabled: "true" });
  expect(await canSignIn("dora@example.com", password)).toBe(false);
  expect(await site.json<object>("user", "enable", "dora@example.com")).toMatchObject({ disabled: false });
  expect(await canSignIn("dora@example.com", password)).toBe(true);
  expect(await site.text("user", "delete", "dora@example.com")).toBe("deleted the user dora@example.com");
  const { code, stderr } = await site.cli(["user", "describe", "dora@example.com"]);
  expect([code, stderr]).toEqual([1, "berth: The user dora@example.com does not exist.\n"]);
});

test("a group is made, filled, emptied and deleted", async () => {
  const { text, json } = site;
  const group = "devs@example.com";
  expect(await text("group", "create", group, "--display-name", "Devs", "--description", "All of them")).toBe(
    `made the group ${group}`,
  );
  expect(await text("group", "list")).toMatch(/^devs@example\.com +Devs +All of them$/m);
  expect(await json<object[]>("group", "list")).toMatchObject([{ email: group, displayName: "Devs" }]);
  expect(await text("group", "add-member", group, "user:ann@example.com")).toBe(
    `added user:ann@example.com to ${group}`,
  );
  expect(await text("group", "members", group)).toMatch(/^MEMBER +FROM\nuser:ann@example\.com +local$/);
  expect(await json<object[]>("group", "members", group)).toEqual([
    { member: "user:ann@example.com", sources: ["local"] },
  ]);
  expect(await text("group", "remove-member", group, "user:ann@example.com")).toBe(
    `took user:ann@example.com out of ${group}`,
  );
  expect(await json<object[]>("group", "members", group)).toEqual([]);
  const wrong = await site.cli(["group", "add-member", group, "ann@example.com"]);
  expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringMatching(/^berth: member: expected user:EMAIL/)]);
  expect(await text("group", "delete", group)).toBe(`deleted the group ${group}`);
  expect(await json<object[]>("group", "list")).toEqual([]);
});
