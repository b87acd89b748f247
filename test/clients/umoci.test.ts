import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Berth, startBerth } from "../harness/berth.ts";
import { digestOf, type ManifestDocument } from "../harness/image-layout.ts";
import { fetchManifest } from "../harness/registry.ts";
import { makeScratch } from "../harness/scratch.ts";
import { siteOf } from "../harness/site.ts";
import { describeAsRoot } from "../harness/suites.ts";
import { run } from "../harness/tools.ts";
import { skopeoLogin } from "./drivers/skopeo.ts";

setDefaultTimeout(120_000);

describeAsRoot(["umoci", "skopeo"], "umoci", () => {
  const scratch = makeScratch();
  let berth: Berth;
  let layout: string;

  beforeAll(async () => {
    berth = await startBerth();
    layout = join(scratch.path, "layout");
    await skopeoLogin(scratch, siteOf(berth), {});
  });

  afterAll(async () => {
    await berth.stop();
    await scratch.remove();
  });

  const call = (...args: string[]): Promise<string> => run(args, { env: scratch.env });
  const image = (tag: string): string => `docker://${berth.host}/my-project/umoci/app:${tag}`;
  const push = (tag: string): Promise<string> =>
    call("skopeo", "copy", "--dest-tls-verify=false", "--preserve-digests", `oci:${layout}:${tag}`, image(tag));

  test("an image made from nothing arrives as it was written", async () => {
    await call("umoci", "init", "--layout", layout);
    await call("umoci", "new", "--image", `${layout}:v1`);
    const bundle = join(scratch.path, "bundle");
    await call("umoci", "unpack", "--image", `${layout}:v1`, bundle);
    mkdirSync(join(bundle, "rootfs/data"));
    await Bun.write(join(bundle, "rootfs/data/first"), "first\n");
    await call("umoci", "repack", "--image", `${layout}:v1`, bundle);
    await call(
      "umoci",
      "config",
      "--image",
      `${layout}:v1`,
      "--config.label",
      "made.by=umoci",
      "--manifest.annotation",
      "a=b",
    );
    await push("v1");
    const { manifests = [] } = (await Bun.file(join(layout, "index.json")).json()) as ManifestDocument;
    const pushed = await fetchManifest(berth, "my-project/umoci/app", "v1");
    expect(manifests.map(({ digest }) => digest)).toEqual([pushed.digest]);
    expect(pushed.annotations).toEqual({ a: "b" });
  });

  test("layers that delete files work after a round trip", async () => {
    const bundle = join(scratch.path, "bundle-2");
    await call("umoci", "unpack", "--image", `${layout}:v1`, bundle);
    await run(["rm", "-r", join(bundle, "rootfs/data")]);
    await Bun.write(join(bundle, "rootfs/second"), "second\n");
    await call("umoci", "repack", "--image", `${layout}:v2`, bundle);
    await push("v2");
    const pulled = join(scratch.path, "pulled");
    await call("skopeo", "copy", "--src-tls-verify=false", image("v2"), `oci:${pulled}:v2`);
    const { text } = await fetchManifest(berth, "my-project/umoci/app", "v2");
    expect(await Bun.file(join(pulled, "blobs", digestOf(text).replace(":", "/"))).text()).toBe(text);
    const back = join(scratch.path, "bundle-3");
    await call("umoci", "unpack", "--image", `${pulled}:v2`, back);
    expect((await call("find", join(back, "rootfs"), "-mindepth", "1", "-printf", "%P\n")).trim()).toBe("second");
  });
});
