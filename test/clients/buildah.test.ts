import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { type Berth, startBerth } from "../harness/berth.ts";
import { mediaTypes } from "../harness/image-layout.ts";
import { fetchManifest } from "../harness/registry.ts";
import { makeScratch } from "../harness/scratch.ts";
import { type Site, siteOf, user } from "../harness/site.ts";
import { describeAsRoot } from "../harness/suites.ts";
import { run } from "../harness/tools.ts";
import { storageFlags, trustFlags } from "./drivers/container-tools.ts";

setDefaultTimeout(120_000);

describeAsRoot(["buildah"], "buildah", () => {
  for (const tls of [false, true]) describe(tls ? "over HTTPS" : "over HTTP", () => suite(tls));
});

function suite(tls: boolean): void {
  const scratch = makeScratch();
  let berth: Berth;
  let site: Site;

  beforeAll(async () => {
    berth = await startBerth({ tls });
    site = siteOf(berth);
    await buildah(["login", ...trust(), "--username", user, "--password-stdin", berth.host], berth.key);
  });

  afterAll(async () => {
    await berth.stop();
    await scratch.remove();
  });

  const repository = "my-project/buildah";
  const image = (rest: string): string => `${berth.host}/${repository}/${rest}`;
  const buildah = async (args: string[], input = ""): Promise<string> =>
    (await run(["buildah", ...storageFlags(scratch, "buildah"), ...args], { env: scratch.env, input })).trim();
  const trust = (): string[] => trustFlags(scratch, site);
  const removeAll = async (): Promise<void> => {
    await buildah(["rm", "--all"]);
    await buildah(["rmi", "--all", "--force"]);
  };

  test("commits an image of its own straight to the registry", async () => {
    const container = await buildah(["from", "scratch"]);
    const file = join(scratch.path, "greeting");
    await Bun.write(file, "hello\n");
    await buildah(["copy", "--quiet", container, file, "/greeting"]);
    await buildah(["config", "--label", "made.by=buildah", container]);
    await buildah(["commit", "--quiet", ...trust(), container, `docker://${image("base:v1")}`]);
    const pushed = await fetchManifest(berth, `${repository}/base`, "v1");
    expect([pushed.contentType, pushed.layers?.length]).toEqual([mediaTypes.image, 1]);
  });

  test("builds on an image that it pulls, in stages, and pushes the result by digest and tag", async () => {
    await removeAll();
    const context = scratch.directory("context");
    await Bun.write(join(context, "second"), "second\n");
    await Bun.write(
      join(context, "Containerfile"),
      `FROM ${image("base:v1")} AS first\nCOPY second /second\nFROM ${image("base:v1")}\nCOPY --from=first /second /copied\n`,
    );
    await buildah(["build", "--quiet", "--layers", ...trust(), "--tag", image("built:v1"), context]);
    await buildah(["push", "--quiet", ...trust(), "--format=docker", image("built:v1")]);
    const built = await fetchManifest(berth, `${repository}/built`, "v1");
    expect(built.contentType).toBe(mediaTypes.dockerImage);
    await removeAll();
    const container = await buildah(["from", "--quiet", ...trust(), image(`built@${built.digest}`)]);
    const root = await buildah(["mount", container]);
    expect(await Bun.file(join(root, "copied")).text()).toBe("second\n");
    expect(await Bun.file(join(root, "greeting")).text()).toBe("hello\n");
  });

  test("pushes a manifest list with its images", async () => {
    await removeAll();
    await buildah(["manifest", "create", "list"]);
    for (const architecture of ["amd64", "arm64"]) {
      const context = scratch.directory("context");
      await Bun.write(join(context, "Containerfile"), "FROM scratch\nCOPY Containerfile /made-from\n");
      await buildah(["build", "--quiet", "--arch", architecture, "--manifest", "list", context]);
    }
    await buildah(["manifest", "push", "--all", ...trust(), "list", `docker://${image("list:v1")}`]);
    const { manifests = [] } = await fetchManifest(berth, `${repository}/list`, "v1");
    expect(manifests.map(({ platform }) => platform?.architecture)).toEqual(["amd64", "arm64"]);
    for (const { digest } of manifests) {
      expect((await fetchManifest(berth, `${repository}/list`, digest)).digest).toBe(digest);
    }
  });
}
