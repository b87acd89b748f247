import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { type Berth, startBerth } from "../harness/berth.ts";
import { type Dockerd, startDockerd } from "../harness/dockerd.ts";
import { makeScratch, type Scratch } from "../harness/scratch.ts";
import { describeAsRoot } from "../harness/suites.ts";
import { attempt, environment, run } from "../harness/tools.ts";

const root = join(import.meta.dir, "../..");

/** In the order in which a reader comes to them: the later ones go on from the push in the first. */
const pages = ["README.md", "clients", "access", "sign-in", "ci", "gcloud"].map((name) =>
  name.endsWith(".md") ? name : `docs/${name}.md`,
);

/** The commands that a page shows its reader, block by block. */
function blocks(page: string): string[] {
  const text = readFileSync(join(root, page), "utf8");
  return [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map((match) => match[1] as string);
}

/** What starts a server or makes the program is tested where servers and programs are. */
const startsServer = /^npm (ci|start|run)/m;

const programs = ["docker", "dockerd", "podman", "skopeo", "crane", "curl", "gcloud"];

describeAsRoot(programs, "the pages' commands", () => {
  let scratch: Scratch;
  let reader: string;
  let berth: Berth;
  let dockerd: Dockerd;
  let env: Record<string, string | undefined>;

  beforeAll(async () => {
    scratch = makeScratch();
    reader = scratch.directory("reader");
    berth = await startBerth();
    symlinkSync(berth.data, join(reader, "data"));
    dockerd = await startDockerd(scratch);
    // The program as the reader has it, and a gcloud of the reader's own.
    const bin = scratch.directory("bin");
    await Bun.write(join(bin, "npx"), `#!/bin/sh\nshift\nexec sh ${join(root, "bin/berth")} "$@"\n`);
    chmodSync(join(bin, "npx"), 0o755);
    const path = `${bin}:${environment().PATH}`;
    env = {
      ...dockerd.env,
      PATH: path,
      CLOUDSDK_CONFIG: scratch.directory("gcloud"),
      CLOUDSDK_CORE_DISABLE_PROMPTS: "1",
    };
    // The image that the reader has made.
    await run(["sh", "-c", "tar -cf - -C / etc/os-release | docker import - hello:v1"], { env: dockerd.env });
    await run(["docker", "tag", "hello:v1", `${berth.host}/my-project/hello:v1`], { env: dockerd.env });
  });

  afterAll(async () => {
    await dockerd.stop();
    await berth.stop();
    await scratch.remove();
  });

  for (const page of pages) {
    for (const block of blocks(page).filter((text) => !startsServer.test(text))) {
      test(`${page}: ${block.split("\n", 1)[0]?.slice(0, 60)}`, async () => {
        const script = `set -eu\n${block.replaceAll("localhost:5000", berth.host)}`;
        const { code, output } = await attempt(["bash", "-c", script], { cwd: reader, env });
        expect(output).not.toMatch(/error|denied/i);
        expect(code).toBe(0);
      });
    }
  }

  test("what was pushed is there", async () => {
    const reply = await berth.fetch("/v2/my-project/hello/tags/list");
    expect(await reply.json()).toMatchObject({ tags: ["v1"] });
  });
});

test("every page has its commands tested, or says that it has none", () => {
  expect(blocks("README.md").length).toBeGreaterThan(1);
  for (const page of pages) expect([page, blocks(page).length > 0]).toEqual([page, true]);
});
