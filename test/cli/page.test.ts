import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Berth, berthCommand, startBerth } from "../harness/berth.ts";
import { type Dockerd, startDockerd } from "../harness/dockerd.ts";
import { makeScratch, type Scratch } from "../harness/scratch.ts";
import { describeAsRoot } from "../harness/suites.ts";
import { attempt } from "../harness/tools.ts";

const page = readFileSync(join(import.meta.dir, "../../docs/cli.md"), "utf8");
const blocks = [...page.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map((match) => match[1] as string);

describeAsRoot(["docker", "dockerd"], "docs/cli.md", () => {
  let scratch: Scratch;
  let reader: string;
  let berth: Berth;
  let dockerd: Dockerd;

  beforeAll(async () => {
    scratch = makeScratch();
    reader = scratch.directory("reader");
    [berth, dockerd] = await Promise.all([startBerth(), startDockerd(scratch)]);
    symlinkSync(berth.data, join(reader, "data"));
    // npx finds the program where the sources are, which is not here.
    const npx = join(reader, "npx");
    writeFileSync(npx, `#!/bin/sh\nshift\nexec ${berthCommand().join(" ")} "$@"\n`);
    chmodSync(npx, 0o755);
  });
  afterAll(async () => {
    await dockerd.stop();
    await berth.stop();
    await scratch.remove();
  });

  test.each(blocks)("%s", async (block) => {
    const script = `set -eu -o pipefail\nPATH=${reader}:$PATH\n${block.replaceAll("localhost:5000", berth.host)}`;
    const { code, output } = await attempt(["bash", "-c", script], { cwd: reader, env: dockerd.env });
    expect(output).toContain("Login Succeeded");
    expect(code).toBe(0);
  });
});

test("the page has commands", () => {
  expect(blocks).toHaveLength(1);
});
