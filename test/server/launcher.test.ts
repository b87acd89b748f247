import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import manifest from "../../package.json" with { type: "json" };
import { makeScratch, type Scratch } from "../harness/scratch.ts";
import { describeInstalled } from "../harness/suites.ts";
import { attempt, type Outcome } from "../harness/tools.ts";

const root = resolve(import.meta.dir, "../..");
const expected = new RegExp(`^berth ${manifest.version.replaceAll(".", "\\.")} \\(Bun 1\\.4\\.\\d+\\)\n$`);

let scratch: Scratch;
beforeAll(() => {
  scratch = makeScratch();
});
afterAll(() => scratch.remove());

/** What `npm ci --ignore-scripts` leaves where the program should be. */
const stub = '#!/bin/sh\necho "Error: Bun\'s postinstall script was not run." >&2\nexit 1\n';
/** A program for another machine. */
const foreign = "\u007fELF\u0002\u0001\u0001 for another processor";

type Program = "real" | "stub" | "foreign";

function put(path: string, program: Program): void {
  mkdirSync(dirname(path), { recursive: true });
  if (program === "real") symlinkSync(realpathSync(process.execPath), path);
  else writeFileSync(path, program === "stub" ? stub : foreign);
  if (program !== "real") chmodSync(path, 0o755);
}

/** A copy of the package with these programs below its `node_modules`; its dependencies are linked. */
function install(programs: Record<string, Program>, place = "a package"): string {
  const home = join(scratch.directory("installed"), place);
  mkdirSync(join(home, "node_modules"), { recursive: true });
  cpSync(join(root, "src"), join(home, "src"), { recursive: true });
  cpSync(join(root, "bin"), join(home, "bin"), { recursive: true });
  copyFileSync(join(root, "package.json"), join(home, "package.json"));
  linkDependencies(join(home, "node_modules"));
  for (const [path, program] of Object.entries(programs)) put(join(home, "node_modules", path), program);
  return home;
}

function linkDependencies(modules: string): void {
  const names = readdirSync(join(root, "node_modules")).filter((name) => !["bun", "@oven", ".bin"].includes(name));
  for (const name of names) symlinkSync(join(root, "node_modules", name), join(modules, name));
}

const version = (launcher: string, cwd = "/"): Promise<Outcome> => attempt(["sh", launcher, "version"], { cwd });

describe("bin/berth finds a Bun that runs", () => {
  const rows: [string, Record<string, Program>][] = [
    ["after npm ci", { "bun/bin/bun.exe": "real", ".bin/bun": "real", "@oven/bun-linux-x64/package.json": "stub" }],
    [
      "after npm ci --ignore-scripts, which leaves a stub",
      { "bun/bin/bun.exe": "stub", ".bin/bun": "stub", "@oven/bun-linux-x64/bin/bun": "real" },
    ],
    [
      "beside one for another machine",
      {
        "@oven/bun-darwin-aarch64/bin/bun": "foreign",
        "@oven/bun-linux-aarch64-musl/bin/bun": "foreign",
        "@oven/bun-linux-x64/bin/bun": "real",
        "bun/bin/bun.exe": "stub",
      },
    ],
    ["that is only in .bin", { ".bin/bun": "real", "@oven/bun-linux-x64/package.json": "stub" }],
  ];
  test.each(rows)("%s", async (_, programs) => {
    const home = install(programs);
    expect((await version(join(home, "bin/berth"))).output).toMatch(expected);
    expect((await version("bin/berth", home)).output).toMatch(expected);
    expect((await version("berth", join(home, "bin"))).output).toMatch(expected);
  });

  test("as a dependency of another package, by the link that npm makes", async () => {
    const outer = join(scratch.directory("outer"), "node_modules");
    const home = install({}, "berth");
    mkdirSync(join(outer, ".bin"), { recursive: true });
    cpSync(home, join(outer, "berth"), {
      recursive: true,
      filter: (path) => !path.includes("node_modules/berth/node_modules"),
    });
    linkDependencies(outer);
    put(join(outer, "@oven/bun-linux-x64/bin/bun"), "real");
    put(join(outer, ".bin/bun"), "stub");
    symlinkSync("../berth/bin/berth", join(outer, ".bin/berth"));
    chmodSync(join(outer, "berth/bin/berth"), 0o755);
    expect((await attempt([join(outer, ".bin/berth"), "version"])).output).toMatch(expected);
  });

  test("or says what to do", async () => {
    const home = install({ "bun/bin/bun.exe": "stub", ".bin/bun": "stub", "@oven/bun-linux-x64/bin/bun": "foreign" });
    const { code, stdout, output } = await version(join(home, "bin/berth"));
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(output).toMatch(/^berth: no usable Bun found below .*node_modules; run `npm ci` first\n$/);
  });
});

describeInstalled(["npx"], "npx", () => {
  test("runs the command line from the package's own directory", async () => {
    const { code, stdout } = await attempt(["npx", "--offline", "berth", "version"], { cwd: root });
    expect(code).toBe(0);
    expect(stdout).toMatch(expected);
  });
});
