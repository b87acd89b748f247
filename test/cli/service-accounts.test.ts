import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openSite, type Site } from "./site.ts";

let site: Site;
beforeAll(async () => {
  site = await openSite();
});
afterAll(() => site.stop());

const address = (name: string): string => `${name}@my-project.iam.gserviceaccount.com`;

test("a service account is made, listed, described, disabled and enabled", async () => {
  const { text, json, facts } = site;
  const email = address("robot");
  const args = ["robot", "--display-name", "Robot", "--description", "Builds"];
  expect(await text("service-account", "create", ...args)).toBe(`made the service account ${email}`);
  const list = await text("service-account", "list");
  expect(list.split("\n")[0]).toMatch(/^EMAIL +NAME +UNIQUE ID +STATE$/);
  expect(list).toMatch(new RegExp(`^${email} +Robot +\\d{21} +enabled$`, "m"));
  expect(await facts("service-account", "describe", "robot")).toMatchObject({ email, description: "Builds" });
  expect(await text("service-account", "disable", email)).toBe(`disabled the service account ${email}`);
  expect(await json<object>("service-account", "describe", email)).toMatchObject({ disabled: true });
  expect(await text("service-account", "list")).toMatch(/robot@.* disabled$/m);
  expect(await text("service-account", "enable", "robot")).toBe(`enabled the service account ${email}`);
  expect(await json<object>("service-account", "describe", "robot")).not.toHaveProperty("disabled");
});

test("one that is deleted comes back by its unique id, which the deletion tells", async () => {
  const { text, json } = site;
  await text("service-account", "create", "passing");
  const said = await text("service-account", "delete", "passing");
  const uniqueId = /`berth service-account undelete (\d{21})`/.exec(said)?.[1] as string;
  expect(JSON.stringify(await json("service-account", "list"))).not.toContain("passing");
  expect(await text("service-account", "undelete", uniqueId)).toBe(
    `brought back the service account ${address("passing")}`,
  );
  expect(await json<object>("service-account", "delete", uniqueId)).toEqual({ email: address("passing"), uniqueId });
  expect(await json<object>("service-account", "undelete", uniqueId)).toMatchObject({ email: address("passing") });
});

test("all pages of a list are shown", async () => {
  const { berth, json, text } = site;
  await text("project", "create", "crowded-one");
  const path = "/v1/projects/crowded-one/serviceAccounts";
  for (let i = 0; i < 105; i++) {
    const reply = await berth.fetch(path, { method: "POST", body: JSON.stringify({ accountId: `a${i}` }) });
    expect(reply.status).toBe(200);
  }
  expect(await json<object[]>("service-account", "list", "--project", "crowded-one")).toHaveLength(105);
});

describe("keys", () => {
  let file: string;
  let id: string;

  beforeAll(async () => {
    await site.text("service-account", "create", "holder");
    file = join(site.scratch.path, "holder.json");
    const made = await site.json<{ name: string; file: string }>("key", "create", "holder", file);
    id = made.name.slice(made.name.lastIndexOf("/") + 1);
    expect(made).toMatchObject({ file, keyType: "USER_MANAGED" });
    expect(made).not.toHaveProperty("privateKeyData");
  });

  test("create writes a file that only its owner reads, and signs in", async () => {
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(JSON.parse(readFileSync(file, "utf8"))).toMatchObject({
      private_key_id: id,
      client_email: address("holder"),
    });
    const { code, stdout } = await site.cli(["token", "--key-file", file]);
    expect({ code, isToken: /^[\w-]+\.[\w-]+\.[\w-]+\n$/.test(stdout) }).toEqual({ code: 0, isToken: true });
  });

  test("create overwrites nothing, and makes no key for nothing", async () => {
    const before = await site.json<object[]>("key", "list", "holder");
    const mine = join(site.scratch.path, "mine.txt");
    writeFileSync(mine, "mine");
    const taken = await site.cli(["key", "create", "holder", mine]);
    expect(taken).toEqual({ code: 1, stdout: "", stderr: `berth: ${mine} is there already: choose another name\n` });
    expect(readFileSync(mine, "utf8")).toBe("mine");
    const nowhere = await site.cli(["key", "create", "holder", join(site.scratch.path, "no/such/directory.json")]);
    expect([nowhere.code, nowhere.stderr]).toEqual([1, expect.stringContaining("ENOENT")]);
    const full = await site.cli(["key", "create", "holder", "/dev/full"]);
    expect(full.code).toBe(1);
    expect(await site.json<object[]>("key", "list", "holder")).toEqual(before);
  });

  test("a refused key leaves no file", async () => {
    const path = join(site.scratch.path, "refused.json");
    const { code, stderr } = await site.cli(["key", "create", "nobody", path]);
    expect([code, stderr]).toEqual([1, expect.stringContaining("Unknown service account: nobody@")]);
    expect(existsSync(path)).toBe(false);
  });

  test("list, disable, enable, delete", async () => {
    const { text, json } = site;
    const [head, row] = (await text("key", "list", "holder")).split("\n");
    expect(head).toMatch(/^KEY +CREATED +EXPIRES +ORIGIN +STATE$/);
    expect(row).toMatch(new RegExp(`^${id} +\\S+Z +never +GOOGLE_PROVIDED +enabled$`));
    expect(await text("key", "disable", "holder", id)).toBe(`disabled the key ${id} of ${address("holder")}`);
    expect(await json<object[]>("key", "list", "holder")).toMatchObject([{ disabled: true }]);
    const refused = await site.cli(["project", "list", "--key-file", file]);
    expect(refused.stderr).toMatch(/^berth: http:\S+ does not take the key in \S+holder\.json: invalid_grant: /);
    await text("key", "enable", "holder", id);
    expect((await site.cli(["project", "list", "--key-file", file])).code).toBe(0);
    expect(await text("key", "delete", "holder", id)).toBe(`deleted the key ${id} of ${address("holder")}`);
    expect(await json<object[]>("key", "list", "holder")).toEqual([]);
    // It is no key's name, but the way to the account.
    const { code, stderr } = await site.cli(["key", "delete", "holder", ".."]);
    expect([code, stderr]).toEqual([2, expect.stringMatching(/^berth: "\.\." is no name\nusage: berth key delete /)]);
    expect(await json<object>("service-account", "describe", "holder")).toMatchObject({ email: address("holder") });
  });

  test("a key file that cannot be used is told apart", async () => {
    const path = join(site.scratch.path, "broken.json");
    const key = JSON.parse(site.berth.key) as Record<string, string>;
    const rows: [string, string][] = [
      ["{", "is not the key file of a service account"],
      [JSON.stringify({ ...key, type: "authorized_user" }), "is not the key file of a service account"],
      [
        JSON.stringify({ ...key, private_key: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n" }),
        "cannot be used",
      ],
      [JSON.stringify({ ...key, private_key_id: "0".repeat(40) }), "invalid_grant"],
    ];
    for (const [content, message] of rows) {
      writeFileSync(path, content);
      const { code, stdout, stderr } = await site.cli(["project", "list", "--key-file", path]);
      expect({ code, stdout, stderr }).toEqual({
        code: 1,
        stdout: "",
        stderr: expect.stringContaining(message) as string,
      });
      expect(stderr).not.toContain(content.slice(0, 2000));
    }
    chmodSync(path, 0o600);
  });
});

test("a service account is renamed, and a key that was made elsewhere signs in", async () => {
  const { text, json } = site;
  await text("service-account", "create", "elsewhere", "--description", "before");
  await text("service-account", "update", "elsewhere", "--display-name", "Elsewhere");
  expect(await json<object>("service-account", "describe", "elsewhere")).toMatchObject({
    displayName: "Elsewhere",
    description: "before",
  });
  const nothing = await site.cli(["service-account", "update", "elsewhere"]);
  expect([nothing.code, nothing.stderr]).toEqual([2, expect.stringContaining("nothing is to be changed")]);
  const [key, certificate] = [join(site.scratch.path, "own.key"), join(site.scratch.path, "own.crt")];
  const args = [
    "-x509",
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-days",
    "30",
    "-subj",
    "/CN=own",
    "-keyout",
    key,
    "-out",
    certificate,
  ];
  expect(Bun.spawnSync(["openssl", "req", ...args]).exitCode).toBe(0);
  const said = await text("key", "upload", "elsewhere", certificate);
  const id = /^registered the key ([0-9a-f]{40}) of elsewhere@/.exec(said)?.[1] as string;
  const file = {
    type: "service_account",
    private_key_id: id,
    private_key: readFileSync(key, "utf8"),
    client_email: address("elsewhere"),
    token_uri: `${site.berth.url}/token`,
  };
  const path = join(site.scratch.path, "own.json");
  writeFileSync(path, JSON.stringify(file));
  const token = await site.cli(["token", "--key-file", path]);
  expect([token.code, token.stderr]).toEqual([0, ""]);
  expect((await site.cli(["key", "upload", "elsewhere", join(site.scratch.path, "missing")])).code).toBe(1);
});
