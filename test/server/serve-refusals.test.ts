import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { berthCommand } from "../harness/berth.ts";
import { makeScratch, type Scratch } from "../harness/scratch.ts";
import { describeInstalled } from "../harness/suites.ts";
import { berth, launch } from "./launched.ts";

const anyPort = ["--listen", "127.0.0.1:0"];

setDefaultTimeout(20_000);

let scratch: Scratch;
beforeAll(() => {
  scratch = makeScratch();
});
afterAll(() => scratch.remove());

describe("words of the command line", () => {
  const rows: [string[], number, RegExp][] = [
    [[], 0, /^ {2}serve {2,}run the registry$/m],
    [["help"], 0, /^ {2}gcloud-env {2,}\S/m],
    [["help", "serve"], 0, /--shutdown-timeout NUMBER\n.*default: 30\)\n +BERTH_SHUTDOWN_TIMEOUT, shutdown-timeout/],
    [["serve", "--help"], 0, /--trusted-proxies/],
    [["help", "nonsense"], 2, /^berth: there is no command nonsense; `berth help` lists them$/m],
    [["version"], 0, /^berth \d+\.\d+\.\d+ \(Bun \d+\.\d+\.\d+\)$/m],
    [["--version"], 0, /^berth \d+\.\d+\.\d+/m],
    [
      ["gcloud-env", "--server", "https://r.test:5443", "--ca", "/ca.crt"],
      0,
      /^export CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE='https:\/\/r\.test:5443\/'$/m,
    ],
    [["gcloud-env", "--server", "http://x'; rm"], 2, /^berth: --server: /m],
    [["gcloud-env", "--no-such"], 2, /^berth: .*--no-such/m],
    [["nonsense"], 2, /^berth: there is no command nonsense/m],
    [["serve", "--no-such-option"], 2, /^berth: berth serve has no option --no-such-option/m],
    [["serve", "--workers"], 2, /^berth: --workers needs a value$/m],
    [["serve", "--workers", "1", "--workers=2"], 2, /^berth: --workers is given twice$/m],
    [["serve", "--workers", "many"], 2, /^berth: --workers: expected a whole number from 1 to 64$/m],
  ];
  for (const [args, code, pattern] of rows) {
    test(`berth ${args.join(" ")} exits with ${code}`, async () => {
      const outcome = await berth(args);
      expect(outcome).toMatchObject({ code, output: expect.stringMatching(pattern) as unknown });
      // What was asked for goes to standard output, complaints do not.
      expect(outcome.stdout === "").toBe(code !== 0);
    });
  }

  test("what gcloud-env prints is read by a shell as it was meant", async () => {
    const { stdout } = await berth(["gcloud-env", "--project", "it's"]);
    const shell = Bun.spawn(["sh", "-c", `${stdout}\nprintf %s "$CLOUDSDK_CORE_PROJECT"`], { stdout: "pipe" });
    expect(await new Response(shell.stdout).text()).toBe("it's");
  });
});

describe("berth.yaml is read strictly: exit code 2, key and line named, nothing touched", () => {
  const rows: [string, string, RegExp][] = [
    ["an unknown key", "workers: 2\n\nlisten-on: 1\n", /:3: listen-on: there is no such setting/],
    [
      "an unknown key on a lower level",
      "tls:\n  mode: off\n  cypher: x\n",
      /:3: tls\.cypher: there is no such setting/,
    ],
    ["a level where there is none", "workers:\n  count: 2\n", /:1: workers: expected a whole number/],
    ["a key where there is a level", "log: info\n", /:1: log: there is no such setting/],
    ["a text for a number", 'log:\n  level: warn\nworkers: "2"\n', /:3: workers: expected a whole number/],
    ["a number out of range", "idle-timeout: 4\n", /:1: idle-timeout: expected a whole number from 5 to 255/],
    ["a text for a truth", "\nprotect-referenced: 'true'\n", /:2: protect-referenced: expected true or false/],
    [
      "a size that is none",
      "limits:\n  upload-size: 5 apples\n",
      /:2: limits\.upload-size: expected a number of bytes/,
    ],
    ["a word that is no choice", "log:\n  level: loud\n", /:2: log\.level: expected one of debug, info/],
    ["nothing for a value", "\nlisten:\n", /:2: listen: expected a text/],
    ["a network that is none", "trusted-proxies: [10.0.0.0/99]\n", /:1: trusted-proxies: 0: expected an address/],
    ["a driver that is none", "stores:\n  a:\n    driver: tape\n", /:\d: stores: a\.driver: /],
    ["an unknown key in a structure", "hosts:\n  - {name: a.test, sotre: b}\n", /:1: hosts: 0: .*"sotre"/],
    [
      "a store that is nowhere",
      "hosts:\n  - {name: a.test, store: fast}\n",
      /hosts: a\.test: there is no store "fast"/,
    ],
    ["a key given twice", "workers: 1\nlog: {level: info}\nworkers: 2\n", /:3: .*unique/i],
    ["an alias to nothing", "workers: *none\n", /:1: .*none/],
    ["what is no YAML", "workers: 1\nlisten: [\n", /:[23]: /],
    ["a list", "- workers\n", /:1: expected settings/],
  ];
  for (const [name, text, pattern] of rows) {
    test(name, async () => {
      const directory = scratch.directory("config");
      const [file, data] = [join(directory, "berth.yaml"), join(directory, "data")];
      writeFileSync(file, text);
      const args = ["serve", "--config", file, "--data", data, ...(text.includes("listen") ? [] : anyPort)];
      const { code, stdout, output } = await berth(args);
      expect({ code, stdout, touched: existsSync(data) }).toEqual({ code: 2, stdout: "", touched: false });
      expect(output).toMatch(pattern);
      if (!name.startsWith("a store")) expect(output).toContain(`berth: ${file}:`);
      // One line for the operator, no stack.
      expect(output.trimEnd().split("\n")).toHaveLength(1);
    });
  }

  test("a file that is not there, or is a directory", async () => {
    for (const file of [join(scratch.path, "absent.yaml"), scratch.path]) {
      const { code, output } = await berth(["serve", "--config", file, ...anyPort]);
      expect({ code, output }).toMatchObject({
        code: 2,
        output: expect.stringContaining(`berth: ${file}: cannot be read: `) as unknown,
      });
    }
  });
});

describe("plain HTTP off loopback", () => {
  for (const listen of ["0.0.0.0:0", ":0", "[::]:0"]) {
    test(`${listen} is refused`, async () => {
      const data = join(scratch.directory("http"), "data");
      const { code, output } = await berth(["serve", "--data", data, "--listen", listen]);
      expect({ code, output }).toMatchObject({
        code: 2,
        output: expect.stringContaining("--insecure-http") as unknown,
      });
      expect(existsSync(data)).toBeFalse();
    });
  }

  test("--insecure-http serves it", async () => {
    const data = scratch.directory("http");
    const args = ["serve", "--data", data, "--listen", "0.0.0.0:0", "--insecure-http"];
    const server = await launch([...berthCommand(), ...args]);
    try {
      expect((await fetch(`http://127.0.0.1:${server.port}/healthz`)).status).toBe(200);
    } finally {
      await server.stop();
    }
  });
});

// The executable is no part of the package's scripts.
if (!process.env.BERTH_EXECUTABLE) {
  describeInstalled(["npm"], "npm start", () => {
    test("serves, and ends with npm", async () => {
      const data = scratch.directory("npm");
      const server = await launch(["npm", "start", "--", "--listen", "127.0.0.1:0", "--data", data]);
      try {
        expect((await fetch(`http://127.0.0.1:${server.port}/readyz`)).status).toBe(200);
        expect(existsSync(join(data, "admin-key.json"))).toBeTrue();
      } finally {
        await server.stop();
      }
    }, 40_000);
  });
}
