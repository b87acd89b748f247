import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { type Berth, startBerth } from "../harness/berth.ts";
import { type Dockerd, startDockerd } from "../harness/dockerd.ts";
import { makeScratch, type Scratch } from "../harness/scratch.ts";
import { describeAsRoot } from "../harness/suites.ts";
import { attempt, run } from "../harness/tools.ts";

const root = join(import.meta.dir, "../..");

/** The commands that a page shows its reader, block by block. */
function blocks(page: string): string[] {
  const text = readFileSync(join(root, page), "utf8");
  return [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map((match) => match[1] as string);
}

/** What starts a server or makes the program is tested where servers and programs are. */
const startsServer = /^npm (ci|start|run)/m;

describeAsRoot(["docker", "dockerd", "podman", "skopeo", "crane", "curl"], "the pages' commands", () => {
  let scratch: Scratch;
  let reader: string;
  let berth: Berth;
  let dockerd: Dockerd;

  beforeAll(async () => {
    scratch = makeScratch();
    reader = scratch.directory("reader");
    berth = await startBerth();
    symlinkSync(berth.data, join(reader, "data"));
    dockerd = await startDockerd(scratch);
    // The image that the reader has made.
    await run(["sh", "-c", "tar -cf - -C / etc/os-release | docker import - hello:v1"], { env: dockerd.env });
    await run(["docker", "tag", "hello:v1", `${berth.host}/my-project/hello:v1`], { env: dockerd.env });
  });

  afterAll(async () => {
    await dockerd.stop();
    await berth.stop();
    await scratch.remove();
  });

  for (const page of ["README.md", "docs/clients.md"]) {
    for (const block of blocks(page).filter((text) => !startsServer.test(text))) {
      test(`${page}: ${block.split("\n", 1)[0]?.slice(0, 60)}`, async () => {
        const script = `set -eu\n${block.replaceAll("localhost:5000", berth.host)}`;
        const { code, output } = await attempt(["bash", "-c", script], { cwd: reader, env: dockerd.env });
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
  expect(blocks("docs/clients.md").length).toBeGreaterThan(3);
});
