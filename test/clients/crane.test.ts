import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { type Berth, startBerth } from "../harness/berth.ts";
import { digestOf, type ManifestDocument, mediaTypes, readLayout } from "../harness/image-layout.ts";
import { makeMultiArchLayout, type MultiArchLayout } from "../harness/multi-arch-layout.ts";
import { fetchManifest, listTags, manifestStatus } from "../harness/registry.ts";
import { hashFile, makeSampleImage, type SampleImage } from "../harness/sample-image.ts";
import { makeScratch } from "../harness/scratch.ts";
import { siteOf, user } from "../harness/site.ts";
import { describeInstalled } from "../harness/suites.ts";
import { attempt, type Outcome, run } from "../harness/tools.ts";
import { craneTrust } from "./drivers/crane.ts";

setDefaultTimeout(120_000);

describeInstalled(["crane"], "crane", () => {
  for (const tls of [false, true]) describe(tls ? "over HTTPS" : "over HTTP", () => suite(tls));
});

function suite(tls: boolean): void {
  const scratch = makeScratch();
  let berth: Berth;
  let env: Record<string, string | undefined>;
  let sample: SampleImage;
  let multi: MultiArchLayout;

  beforeAll(async () => {
    berth = await startBerth({ tls });
    env = { ...scratch.env, ...craneTrust(siteOf(berth)) };
    sample = await makeSampleImage(scratch);
    multi = await makeMultiArchLayout(scratch);
  });

  afterAll(async () => {
    await berth.stop();
    await scratch.remove();
  });

  const repository = "my-project/crane";
  const image = (rest: string): string => `${berth.host}/${repository}/${rest}`;
  const tryCrane = (args: string[], input = ""): Promise<Outcome> => attempt(["crane", ...args], { env, input });
  /** What it prints, without the line's end. */
  const crane = async (args: string[], input = ""): Promise<string> =>
    (await run(["crane", ...args], { env, input })).trimEnd();
  const manifestOf = async (name: string): Promise<ManifestDocument> =>
    JSON.parse(await crane(["manifest", image(name)]));

  test("is sent away without login, and logs in", async () => {
    const { code, output } = await tryCrane(["push", sample.layout, image("app:v1")]);
    expect([code, output]).toEqual([1, expect.stringMatching(/UNAUTHORIZED/)]);
    await crane(["auth", "login", berth.host, "--username", user, "--password-stdin"], berth.key);
  });

  test("pushes and pulls a layout; digest, manifest, config, blob are its bytes", async () => {
    expect(await crane(["push", sample.layout, image("app:v1")])).toBe(image(`app@${sample.digest}`));
    const { document, blobs } = readLayout(sample.layout);
    expect(await crane(["digest", image("app:v1")])).toBe(sample.digest);
    expect(digestOf(await crane(["manifest", image("app:v1")]))).toBe(sample.digest);
    expect(digestOf(await crane(["config", image("app:v1")]))).toBe(document.config?.digest as string);
    const layer = document.layers?.[0]?.digest as string;
    const file = join(scratch.directory("blob"), "layer");
    await run(["sh", "-c", 'crane blob "$0" > "$1"', image(`app@${layer}`), file], { env });
    expect(`sha256:${await hashFile(file)}`).toBe(layer);
    const back = scratch.directory("pulled");
    await crane(["pull", "--format=oci", image("app:v1"), back]);
    expect([...readLayout(back).blobs.keys()].toSorted()).toEqual([...blobs.keys()].toSorted());
    await crane(["validate", "--remote", image("app:v1")]);
  });

  test("pushes an index with all that is in it, and copies it by digest", async () => {
    expect(await crane(["push", multi.indexOnly, image("multi:v1")])).toBe(image(`multi@${multi.index.digest}`));
    await crane(["copy", image(`multi@${multi.index.digest}`), image("copies/multi:v1")]);
    expect((await fetchManifest(berth, `${repository}/copies/multi`, "v1")).digest).toBe(multi.index.digest);
    await crane(["validate", "--remote", image("copies/multi:v1")]);
    expect(await crane(["digest", "--platform=linux/arm64", image("multi:v1")])).toBe(multi.images.arm64.digest);
  });

  test("makes an index of images that are there, and takes one out", async () => {
    const members = [multi.images.amd64.digest, multi.images.arm64.digest].flatMap((digest) => [
      "-m",
      image(`multi@${digest}`),
    ]);
    await crane(["index", "append", ...members, "-t", image("made:all")]);
    const made = await manifestOf("made:all");
    expect(made.manifests?.map(({ digest }) => digest)).toEqual([multi.images.amd64.digest, multi.images.arm64.digest]);
    await crane(["index", "filter", image("made:all"), "--platform=linux/arm64", "-t", image("made:arm")]);
    expect((await manifestOf("made:arm")).manifests).toHaveLength(1);
  });

  test("mutates, appends, flattens and rebases on the server's images", async () => {
    await crane([
      "mutate",
      image("app:v1"),
      "--annotation=a=b",
      "--label=l=m",
      "--env=E=F",
      "-t",
      image("app:mutated"),
    ]);
    expect((await manifestOf("app:mutated")).annotations).toEqual({ a: "b" });
    const config = JSON.parse(await crane(["config", image("app:mutated")])) as { config: unknown };
    expect(config.config).toMatchObject({ Labels: { l: "m" }, Env: ["E=F"] });
    await crane(["append", "--base", image("app:v1"), "--new_layer", sample.tree, "--new_tag", image("app:appended")]);
    const appended = await manifestOf("app:appended");
    expect(appended.layers).toHaveLength(3);
    await crane(["flatten", image("app:appended"), "-t", image("app:flat")]);
    expect((await manifestOf("app:flat")).layers).toHaveLength(1);
    const bases = ["--old_base", image("app:v1"), "--new_base", image("app:mutated")];
    await crane(["rebase", image("app:appended"), ...bases, "-t", image("app:rebased")]);
    expect((await manifestOf("app:rebased")).layers).toHaveLength(3);
    for (const tag of ["mutated", "appended", "flat", "rebased"])
      await crane(["validate", "--remote", image(`app:${tag}`)]);
  });

  test("appends a layer to nothing", async () => {
    await crane(["append", "--oci-empty-base", "--new_layer", sample.tree, "--new_tag", image("bare:v1")]);
    expect((await fetchManifest(berth, `${repository}/bare`, "v1")).contentType).toBe(mediaTypes.image);
  });

  test("tags, lists tags and repositories", async () => {
    await crane(["tag", image("app:v1"), "v2"]);
    expect(await listTags(berth, `${repository}/app`)).toEqual(["appended", "flat", "mutated", "rebased", "v1", "v2"]);
    expect((await crane(["ls", image("app")])).split("\n").toSorted()).toEqual(
      await listTags(berth, `${repository}/app`),
    );
    const names = ["app", "bare", "copies/multi", "made", "multi"].map((name) => `${repository}/${name}`);
    expect((await crane(["catalog", berth.host])).split("\n")).toEqual(names);
  });

  test("copies all tags of a repository", async () => {
    await crane(["copy", "--all-tags", image("app"), image("everything")]);
    expect(await listTags(berth, `${repository}/everything`)).toEqual(await listTags(berth, `${repository}/app`));
  });

  test("deletes a tag only, then the manifest", async () => {
    await crane(["tag", image("bare:v1"), "v2"]);
    const { digest } = await fetchManifest(berth, `${repository}/bare`, "v1");
    await crane(["delete", image("bare:v2")]);
    expect(await listTags(berth, `${repository}/bare`)).toEqual(["v1"]);
    await crane(["delete", image(`bare@${digest}`)]);
    expect(await manifestStatus(berth, `${repository}/bare`, digest)).toBe(404);
    expect(await manifestStatus(berth, `${repository}/bare`, "v1")).toBe(404);
    const { code, output } = await tryCrane(["manifest", image("bare:v1")]);
    expect([code, output]).toEqual([1, expect.stringContaining("MANIFEST_UNKNOWN")]);
  });

  test("exports the files of an image", async () => {
    const file = join(scratch.directory("export"), "tree.tar");
    await crane(["export", image("app:v1"), file]);
    expect(await run(["tar", "-tf", file])).toContain(sample.file);
  });

  test("logs out", async () => {
    await crane(["auth", "logout", berth.host]);
    expect((await tryCrane(["digest", image("app:v1")])).output).toContain("UNAUTHORIZED");
  });
}
