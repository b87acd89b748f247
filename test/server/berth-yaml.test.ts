import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { berthCommand } from "../harness/berth.ts";
import { makeScratch, type Scratch } from "../harness/scratch.ts";
import { attempt, type Outcome } from "../harness/tools.ts";

let scratch: Scratch;
beforeAll(() => {
  scratch = makeScratch();
});
afterAll(() => scratch.remove());

function write(content: string | Uint8Array): string {
  const path = join(scratch.directory("config"), "berth.yaml");
  writeFileSync(path, content);
  return path;
}

/** Starts a server that is expected to refuse; it would stop by itself otherwise. */
async function refusal(path: string, env: Record<string, string> = {}): Promise<Outcome & { data: string }> {
  const data = join(scratch.directory("refused"), "data");
  const config = "BERTH_CONFIG" in env ? [] : ["--config", path];
  const args = ["serve", "--data", data, ...config];
  return { ...(await attempt([...berthCommand(), ...args], { env, limit: 3000 })), data };
}

/** What the message must say behind the file's path. */
const wrong: [string, string | Uint8Array, RegExp][] = [
  ["an unknown key", "workers: 1\nworkes: 2\n", /:2: workes: there is no such setting/],
  ["a key in another case", "Workers: 1\n", /:1: Workers: there is no such setting/],
  ["a key as a flag is written", "tls-cert: a\n", /:1: tls-cert: there is no such setting/],
  ["an unknown key below a known level", "tls:\n  mode: off\n\n  crt: a\n", /:4: tls\.crt: there is no such setting/],
  ["a level where a value belongs", "log:\n  level:\n    all: info\n", /:2: log\.level: expected one of/],
  ["a value where a level belongs", "workers: 1\nlog: info\n", /:2: log: /],
  ["a list where a level belongs", "log:\n  - level: info\n", /:1: log: /],
  ["a number that is a text", 'workers: "2"\n', /:1: workers: expected a whole number from 1 to 64/],
  ["a truth value of YAML 1.1", "# plain\ninsecure-http: yes\n", /:2: insecure-http: expected true or false/],
  ["a key without a value", "workers:\n", /:1: workers: expected a whole number/],
  ["an address without a port", "workers: 1\nlisten: localhost\n", /:2: listen: expected ADDR:PORT/],
  ["an entry of a list", "hosts:\n  - a.test\n  - b.test:5000\n", /:[13]: hosts: /],
  ["an unknown key in an entry", "hosts: [{name: a.test, stor: default}]\n", /:1: hosts: /],
  [
    "a store that does not exist",
    "hosts:\n  - name: a.test\n    store: eu\n",
    /hosts: a\.test: there is no store "eu"/,
  ],
  ["a number out of range", "idle-timeout: 4\n", /:1: idle-timeout: expected a whole number from 5 to 255/],
  ["a size that is none", "limits:\n  upload-size: 5 apples\n", /:2: limits\.upload-size: expected a number of bytes/],
  ["a network that is none", "trusted-proxies: [10.0.0.0/99]\n", /:1: trusted-proxies: 0: expected an address/],
  ["a driver that is none", "stores:\n  a:\n    driver: tape\n", /:\d: stores: a\.driver: /],
  ["a key twice", "workers: 1\ndata: x\nworkers: 2\n", /:[13]: .*unique/],
  ["an indentation that fits nothing", "tls:\n    mode: off\n  cert: a\n", /:3: /],
  ["a quote that is never closed", 'workers: 1\ndata: "x\n', /:[23]: /],
  ["a tab as indentation", "tls:\n\tmode: off\n", /:2: /],
  ["an alias of nothing", "workers: *nothing\n", /:1: .*nothing/],
  ["two documents", "workers: 1\n---\nworkers: 2\n", /:[123]: /],
  ["a list", "- workers: 1\n", /:1: expected settings/],
  ["a text", "\nworkers\n", /: expected settings/],
  ["a key that is no text", "1: 2\n", /:1: 1: there is no such setting/],
  ["a key that is a list", "[a]: 2\n", /:1: .*there is no such setting/],
  ["bytes that are no UTF-8", Buffer.from("public-name: \xff\xfe\n", "latin1"), /UTF-8/],
];

describe("a file that is wrong keeps the server from starting, and the message says where", () => {
  test.each(wrong)("%s", async (_, content, pattern) => {
    const path = write(content);
    const { code, output, data } = await refusal(path);
    expect({ code, output }).toEqual({ code: 2, output: expect.stringMatching(pattern) });
    expect(output).toStartWith("berth: ");
    // Where the message is about one key it names the file too; one line, and no stack.
    if (!pattern.source.startsWith("hosts: a")) expect(output).toStartWith(`berth: ${path}`);
    expect(output.trimEnd()).not.toContain("\n");
    expect(existsSync(data)).toBe(false);
  });

  test("it is looked at whole, also where a flag counts before it", async () => {
    const path = write("listen: 127.0.0.1:0\nnonsense: 1\n");
    expect((await refusal(path)).code).toBe(2);
  });

  test("named by the variable it counts the same", async () => {
    const path = write("nonsense: 1\n");
    const { code, output } = await refusal("", { BERTH_CONFIG: path });
    expect({ code, output }).toEqual({ code: 2, output: expect.stringContaining(`${path}:1: nonsense`) });
  });
});

describe("a file that cannot be read", () => {
  const rows: [string, (path: string) => void][] = [
    ["does not exist", () => {}],
    ["is a directory", (path) => mkdirSync(path)],
    ["is a link to nothing", (path) => symlinkSync("nowhere", path)],
  ];
  test.each(rows)("%s", async (_, make) => {
    const path = join(scratch.directory("unreadable"), "berth.yaml");
    make(path);
    const { code, output } = await refusal(path);
    expect({ code, output }).toEqual({ code: 2, output: expect.stringContaining(`berth: ${path}: cannot be read: `) });
  });

  test("is not for this user", async () => {
    const path = write("workers: 1\n");
    Bun.spawnSync(["chmod", "0", path]);
    // Root reads everything, unless it gives up that privilege.
    const command = process.getuid?.() === 0 ? ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] : [];
    const args = [...command, ...berthCommand(), "serve", "--listen", "127.0.0.1:0", "--config", path];
    const { code, output } = await attempt(args, { limit: 3000 });
    expect({ code, output }).toEqual({ code: 2, output: expect.stringContaining(`berth: ${path}: cannot be read: `) });
  });
});
