import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startBerth } from "../harness/berth.ts";
import { openSite, runCli, type Site } from "./site.ts";

let site: Site;
let keyFile: string;
beforeAll(async () => {
  site = await openSite();
  keyFile = join(site.berth.data, "admin-key.json");
});
afterAll(() => site.stop());

const list = ["project", "list"];
const listed = { code: 0, stdout: expect.stringContaining("my-project") as string, stderr: "" };

describe("which key", () => {
  const inDirectory = (name: string): string => join(site.scratch.path, name);

  test("a flag counts before variables, these before the file that lies here", async () => {
    const wrong = inDirectory("wrong.json");
    writeFileSync(wrong, "{}");
    const refused = { code: 1, stdout: "", stderr: `berth: ${wrong} is not the key file of a service account\n` };
    const cwd = inDirectory("at-home");
    mkdirSync(join(cwd, "data"), { recursive: true });
    symlinkSync(keyFile, join(cwd, "data/admin-key.json"));
    expect(await runCli(list, { cwd })).toEqual(listed);
    expect(await runCli(list, { cwd, env: { GOOGLE_APPLICATION_CREDENTIALS: wrong } })).toEqual(refused);
    const both = { GOOGLE_APPLICATION_CREDENTIALS: wrong, BERTH_KEY_FILE: keyFile };
    expect(await runCli(list, { cwd, env: both })).toEqual(listed);
    expect(await runCli([...list, "--key-file", wrong], { cwd, env: both })).toEqual(refused);
    expect(await runCli([...list, `--key-file=${keyFile}`], { env: { BERTH_KEY_FILE: wrong } })).toEqual(listed);
  });

  test("without any, it says how to name one", async () => {
    const said = await runCli(list, { cwd: site.scratch.path });
    expect([said.code, said.stderr]).toEqual([1, expect.stringContaining("--key-file or BERTH_KEY_FILE")]);
  });

  test("a token takes a key's place, and goes only to a server that was named", async () => {
    const token = await site.text("token");
    const env = { BERTH_ACCESS_TOKEN: token };
    const nowhere = await runCli(list, { cwd: join(site.scratch.path, "at-home"), env });
    expect([nowhere.code, nowhere.stderr]).toEqual([2, expect.stringContaining("name the server with --server")]);
    expect(await runCli([...list, "--server", site.berth.url], { env })).toEqual(listed);
    const named = { ...env, BERTH_SERVER: `${site.berth.url}/` };
    expect((await runCli(["token"], { env: named })).stdout.trimEnd()).toBe(token);
    const project = await runCli(["service-account", "list"], { env: named });
    expect([project.code, project.stderr]).toEqual([2, expect.stringContaining("name the project with --project")]);
    const bad = await runCli(list, { env: { ...named, BERTH_ACCESS_TOKEN: "a b" } });
    expect([bad.code, bad.stderr]).toEqual([1, "berth: BERTH_ACCESS_TOKEN holds what is no token\n"]);
    const old = await runCli(list, { env: { ...named, BERTH_ACCESS_TOKEN: "abc" } });
    expect([old.code, old.stderr]).toEqual([1, expect.stringContaining("The credential is not valid")]);
  });
});

describe("which server", () => {
  /** A server that remembers what it was sent. */
  async function eavesdropper(
    use: (origin: string, heard: string[]) => Promise<void>,
    reply = () => new Response("?"),
  ) {
    const heard: string[] = [];
    using server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      async fetch(request) {
        heard.push(`${request.url} ${await request.text()} ${request.headers.get("authorization")}`);
        return reply();
      },
    });
    await use(`http://127.0.0.1:${server.port}`, heard);
  }

  test("a key that is sent to another server is of no use at its own", async () => {
    await eavesdropper(async (origin, heard) => {
      const key = join(site.scratch.path, "elsewhere.json");
      const content = { ...(JSON.parse(site.berth.key) as object), token_uri: "https://registry.example/token" };
      writeFileSync(key, JSON.stringify(content));
      const said = await runCli([...list, "--server", origin, "--key-file", key]);
      expect([said.code, said.stderr]).toEqual([1, expect.stringContaining("is perhaps no Berth")]);
      const assertion = /assertion=([^& ]+)/.exec(heard[0] ?? "")?.[1] ?? "";
      const claims = JSON.parse(Buffer.from(assertion.split(".")[1] ?? "", "base64url").toString("utf8")) as object;
      expect(claims).toMatchObject({ aud: `${origin}/token`, iss: "owner@my-project.iam.gserviceaccount.com" });
    });
  });

  test("a server that sends away to another gets no follower", async () => {
    await eavesdropper(async (other, heard) => {
      const away = () => new Response(null, { status: 307, headers: { location: `${other}/token` } });
      await eavesdropper(async (origin) => {
        const { code, stdout } = await runCli([...list, "--server", origin], { env: { BERTH_KEY_FILE: keyFile } });
        expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
      }, away);
      expect(heard).toEqual([]);
    });
  });

  test("a key of Google is for Google", async () => {
    const key = join(site.scratch.path, "google.json");
    const content = { ...(JSON.parse(site.berth.key) as object), token_uri: "https://oauth2.googleapis.com/token" };
    writeFileSync(key, JSON.stringify(content));
    const env = { GOOGLE_APPLICATION_CREDENTIALS: key };
    const { code, stderr } = await runCli(list, { env });
    expect([code, stderr]).toEqual([2, expect.stringContaining("is a key for Google: name the server")]);
    expect(await runCli([...list, "--server", site.berth.url], { env })).toEqual(listed);
  });

  test("one that does not answer is told from one that refuses", async () => {
    const { code, stderr } = await site.cli([...list, "--server", "http://127.0.0.1:1"]);
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/^berth: http:\/\/127\.0\.0\.1:1 cannot be reached: .+\n$/),
    ]);
  });

  test.each(["localhost:5000", "ftp://x", "http://x/path", "http://me:secret@x", "http://x/?q", ""])(
    "%j is no server",
    async (server) => {
      const { code, stderr } = await site.cli([...list, "--server", server]);
      expect([code, stderr]).toEqual([2, expect.stringMatching(/^berth: --server(: expected http| is empty)/)]);
      expect(stderr).not.toContain("secret");
    },
  );

  test("one with an authority of its own is trusted with --ca or BERTH_CA, and not without", async () => {
    const berth = await startBerth({ tls: true });
    try {
      const env = { BERTH_KEY_FILE: join(berth.data, "admin-key.json") };
      expect(await runCli([...list, "--ca", berth.ca], { env })).toEqual(listed);
      expect(await runCli(list, { env: { ...env, BERTH_CA: berth.ca } })).toEqual(listed);
      const { code, stderr } = await runCli(list, { env });
      expect([code, stderr]).toEqual([1, expect.stringContaining("--ca names the server's certificate authority")]);
      const missing = await runCli([...list, "--ca", "/no/such/ca.crt"], { env });
      expect([missing.code, missing.stderr]).toEqual([1, expect.stringContaining("ENOENT")]);
    } finally {
      await berth.stop();
    }
  });
});

describe("without rights", () => {
  let robot: string;
  beforeAll(async () => {
    robot = join(site.scratch.path, "robot.json");
    await site.text("service-account", "create", "robot");
    await site.text("key", "create", "robot", robot);
  });

  const member = ["--member", "user:x@example.com", "--role", "roles/owner"];
  test.each([
    ["project", "create", "robots-own"],
    ["project", "describe", "my-project"],
    ["project", "update", "my-project", "--name", "x"],
    ["project", "delete", "my-project"],
    ["project", "undelete", "my-project"],
    ["service-account", "list"],
    ["service-account", "create", "other"],
    ["service-account", "describe", "owner"],
    ["service-account", "update", "owner", "--display-name", "x"],
    ["service-account", "disable", "owner"],
    ["service-account", "enable", "owner"],
    ["service-account", "delete", "owner"],
    ["service-account", "undelete", "1"],
    ["key", "list", "owner"],
    ["key", "create", "owner", "stolen.json"],
    ["key", "upload", "owner", import.meta.path],
    ["key", "enable", "owner", "k"],
    ["key", "disable", "owner", "k"],
    ["key", "delete", "owner", "k"],
    ["iam", "get-policy", "--project", "my-project"],
    ["iam", "add-binding", "--project", "my-project", ...member],
    ["iam", "remove-binding", "--service-account", "owner", ...member],
    ["iam", "add-binding", "--bucket", "artifacts.my-project.appspot.com", ...member],
    ["iam", "get-policy", "--organization", "1"],
    ["iam", "get-policy", "--organization"],
    ["role", "list", "--project", "my-project"],
    ["role", "create", "r"],
    ["role", "update", "r", "--title", "t"],
    ["role", "delete", "r"],
    ["role", "undelete", "r"],
    ["user", "list"],
    ["user", "create", "x@example.com"],
    ["user", "describe", "admin@berth.local"],
    ["user", "disable", "admin@berth.local"],
    ["user", "enable", "admin@berth.local"],
    ["user", "delete", "admin@berth.local"],
    ["user", "set-password", "admin@berth.local"],
    ["group", "list"],
    ["group", "create", "x@example.com"],
    ["group", "delete", "x@example.com"],
    ["group", "members", "x@example.com"],
    ["group", "add-member", "x@example.com", "user:x@example.com"],
    ["group", "remove-member", "x@example.com", "user:x@example.com"],
    ["audit", "read"],
    ["audit", "export"],
  ])("berth %s %s is refused", async (...args) => {
    const { code, stdout, stderr } = await site.cli([...args, "--key-file", robot]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(/^berth: (?:Permission '[\w.]+' denied on resource .*|you may see no organization: .*)\n$/);
  });

  test("what is everybody's is shown", async () => {
    expect(await site.cli(["project", "list", "--key-file", robot])).toMatchObject({ code: 0, stdout: "" });
    const held = ["iam", "test-permissions", "storage.objects.get", "--project", "my-project", "--key-file", robot];
    expect((await site.cli(held)).stdout).toMatch(/storage\.objects\.get +no\n$/);
  });
});

describe("not understood", () => {
  const rows: [string[], string, string][] = [
    [["project"], "the verb is missing", "project list|create|describe|update|delete|undelete"],
    [["project", "remove"], "berth project has no remove", "project list|create|describe|update|delete|undelete"],
    [["project", "create"], "PROJECT is missing", "project create PROJECT [--name NAME]"],
    [["project", "create", ""], "PROJECT is empty", "project create PROJECT"],
    [["project", "create", "a", "b"], "b is one argument too many", "project create PROJECT"],
    [["project", "list", "--nonsense"], "there is no option --nonsense", "project list [--filter FILTER]"],
    [["project", "list", "-x"], "there is no option -x", "project list"],
    [["project", "list", "--filter"], "--filter needs a value", "project list"],
    [
      ["project", "list", "--filter", "--format"],
      "--filter needs a value; one that begins with a dash",
      "project list",
    ],
    [["project", "list", "--filter", "a", "--filter", "b"], "--filter is given twice", "project list"],
    [["project", "list", "--filter", ""], "--filter is empty", "project list"],
    [["project", "list", "--format", "yaml"], "--format: yaml is neither table nor json", "project list"],
    [["project", "create", "web-one", "--label", "a"], "--label: a is not KEY=VALUE", "project create"],
    [["role", "list", "--deleted=yes"], "--deleted takes no value", "role list"],
    [["key", "create", "robot"], "FILE is missing", "key create ACCOUNT FILE [--project PROJECT]"],
    [
      ["iam", "recover", "--member", "user:x@y.z", "--server", "http://x"],
      "there is no option --server",
      "iam recover",
    ],
    [["token", "extra"], "extra is one argument too many", "token"],
  ];
  test.each(rows)("berth %j", async (args, message, usage) => {
    const { code, stdout, stderr } = await site.cli(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    const [first, second] = stderr.split("\n");
    expect(first).toStartWith(`berth: ${message}`);
    expect(second).toStartWith(`usage: berth ${usage}`);
  });
});

describe("help", () => {
  const rows: [string[], RegExp][] = [
    [["help"], /^ {2}service-account +\S/m],
    [["help", "iam"], /^berth iam add-binding --member MEMBER --role ROLE \(--project PROJECT \| --bucket BUCKET \|/m],
    [["help", "iam", "add-binding"], /^berth iam add-binding [^]*\n {2}--condition-title TITLE\n {6}\S/],
    [["iam", "add-binding", "--help"], /^berth iam add-binding [^]*--ca FILE/],
    [["iam", "--help"], /^policies: /],
    [["token", "-h"], /^berth token\n/],
    [["help", "iam", "recover"], /^(?![^]*--server)berth iam recover --member MEMBER/],
  ];
  test.each(rows)("berth %j", async (args, pattern) => {
    const { code, stdout, stderr } = await runCli(args);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(pattern);
    expect(stdout).not.toContain("`".repeat(2));
  });

  test("of a verb that is not there says which are", async () => {
    const { code, stderr } = await runCli(["help", "iam", "nonsense"]);
    expect([code, stderr]).toEqual([2, expect.stringContaining("get-policy|add-binding")]);
  });
});

test("a secret never stands in an error", async () => {
  const copy = join(site.scratch.path, "copy.json");
  copyFileSync(keyFile, copy);
  const secret = (JSON.parse(site.berth.key) as { private_key: string }).private_key.split("\n")[1] as string;
  for (const args of [
    ["project", "describe", "x"],
    ["nonsense"],
    ["project", "list", "--server", "http://127.0.0.1:1"],
  ]) {
    const { stdout, stderr } = await site.cli([...args, "--key-file", copy]);
    expect(stdout + stderr).not.toContain(secret);
    expect(stdout + stderr).not.toMatch(/eyJ[\w-]{20,}/);
  }
});
