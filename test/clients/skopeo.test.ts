import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Berth, startBerth } from "../harness/berth.ts";
import { ImageLayout, type ManifestDocument, mediaTypes, readLayout } from "../harness/image-layout.ts";
import { makeMultiArchLayout, type MultiArchLayout } from "../harness/multi-arch-layout.ts";
import { fetchManifest, listTags, manifestStatus } from "../harness/registry.ts";
import { makeScratch } from "../harness/scratch.ts";
import { type Site, siteOf, user } from "../harness/site.ts";
import { describeInstalled } from "../harness/suites.ts";
import { attempt, type Outcome, run } from "../harness/tools.ts";
import { trustFlags } from "./drivers/container-tools.ts";

setDefaultTimeout(120_000);

describeInstalled(["skopeo"], "skopeo", () => {
  for (const tls of [false, true]) describe(tls ? "over HTTPS" : "over HTTP", () => suite(tls));
});

function suite(tls: boolean): void {
  const scratch = makeScratch();
  let berth: Berth;
  let site: Site;
  let multi: MultiArchLayout;

  beforeAll(async () => {
    berth = await startBerth({ tls });
    site = siteOf(berth);
    multi = await makeMultiArchLayout(scratch);
  });

  afterAll(async () => {
    await berth.stop();
    await scratch.remove();
  });

  const repository = "my-project/skopeo";
  const image = (rest: string): string => `docker://${berth.host}/${repository}/${rest}`;
  const trySkopeo = (args: string[], input = ""): Promise<Outcome> =>
    attempt(["skopeo", ...args], { env: scratch.env, input });
  const skopeo = (args: string[], input = ""): Promise<string> => run(["skopeo", ...args], { env: scratch.env, input });
  const trust = (prefix = ""): string[] => trustFlags(scratch, site, prefix);
  const copy = (from: string, to: string, ...flags: string[]): Promise<string> => {
    const sides = [from, to].flatMap((name, i) =>
      name.startsWith("docker:") ? trust(i === 0 ? "src-" : "dest-") : [],
    );
    return skopeo(["copy", ...sides, ...flags, from, to]);
  };

  test("logs in with the key only", async () => {
    const login = ["login", ...trust(), "--username", user, "--password-stdin", berth.host];
    const { code, output } = await trySkopeo(login, "wrong");
    expect([code, output]).toEqual([1, expect.stringContaining("invalid username/password")]);
    await skopeo(login, berth.key);
  });

  test("copies every architecture of an index, and none of it changes", async () => {
    await copy(`oci:${multi.path}:multi`, image("multi:v1"), "--all");
    const index = await fetchManifest(berth, `${repository}/multi`, "v1");
    expect([index.digest, index.contentType]).toEqual([multi.index.digest, mediaTypes.index]);
    const back = scratch.directory("back");
    await copy(image("multi:v1"), `oci:${back}:multi`, "--all", "--preserve-digests");
    const { digest, blobs } = readLayout(back);
    expect(digest).toBe(multi.index.digest);
    expect([...blobs.keys()].toSorted()).toEqual(multi.digests.toSorted());
  });

  test("copies one architecture of an index", async () => {
    const back = scratch.directory("back");
    await copy(image("multi:v1"), `oci:${back}:one`, "--override-arch=arm64");
    // skopeo keeps the manifest's bytes where the formats are the same.
    expect(readLayout(back).digest).toBe(multi.images.arm64.digest);
  });

  test("copies between repositories on the server, all architectures", async () => {
    await copy(image("multi:v1"), image("deep/er/copy:v2"), "--all");
    expect((await fetchManifest(berth, `${repository}/deep/er/copy`, "v2")).digest).toBe(multi.index.digest);
  });

  test("converts to Docker's format and back", async () => {
    await copy(`oci:${multi.path}:amd64`, image("formats:docker"), "--format=v2s2");
    const converted = await fetchManifest(berth, `${repository}/formats`, "docker");
    expect([converted.contentType, converted.mediaType]).toEqual([mediaTypes.dockerImage, mediaTypes.dockerImage]);
    await copy(image("formats:docker"), image("formats:oci"), "--format=oci");
    const again = await fetchManifest(berth, `${repository}/formats`, "oci");
    expect(again.contentType).toBe(mediaTypes.image);
    expect(again.layers?.map(({ digest }) => digest)).toEqual(converted.layers?.map(({ digest }) => digest));
    await copy(`oci:${multi.path}:multi`, image("formats:list"), "--all", "--format=v2s2");
    expect((await fetchManifest(berth, `${repository}/formats`, "list")).contentType).toBe(mediaTypes.dockerList);
  });

  test("inspects: names, raw, config", async () => {
    const inspected = JSON.parse(await skopeo(["inspect", ...trust(), image("formats:oci")])) as Record<
      string,
      unknown
    >;
    expect(inspected).toMatchObject({
      Name: `${berth.host}/${repository}/formats`,
      RepoTags: ["docker", "list", "oci"],
      Architecture: "amd64",
      Created: "2024-05-06T07:08:09Z",
    });
    const raw = await skopeo(["inspect", ...trust(), "--raw", image("multi:v1")]);
    expect(raw).toBe((await fetchManifest(berth, `${repository}/multi`, "v1")).text);
    const config = JSON.parse(
      await skopeo(["inspect", ...trust(), "--config", image("formats:oci")]),
    ) as ManifestDocument;
    expect(config).toMatchObject({ architecture: "amd64", os: "linux" });
    const digest = await skopeo([
      "inspect",
      ...trust(),
      "--format={{.Digest}}",
      image(`multi@${multi.images.amd64.digest}`),
    ]);
    expect(digest.trim()).toBe(multi.images.amd64.digest);
  });

  test("lists tags, more than one page of them", async () => {
    const layout = new ImageLayout(scratch.directory("tags"));
    layout.tag(layout.addImage([], []), "v1");
    await copy(`oci:${layout.path}:v1`, image("many:t0000"));
    const { text, contentType } = await fetchManifest(berth, `${repository}/many`, "t0000");
    const names = Array.from({ length: 1200 }, (_, i) => `t${String(i).padStart(4, "0")}`);
    for (const name of names.slice(1)) {
      const put = { method: "PUT", body: text, headers: { "content-type": contentType } };
      expect((await berth.fetch(`/v2/${repository}/many/manifests/${name}`, put)).status).toBe(201);
    }
    const listed = JSON.parse(await skopeo(["list-tags", ...trust(), image("many")])) as { Tags: string[] };
    expect(listed.Tags).toEqual(names);
  });

  test("syncs to a directory and from there to another repository", async () => {
    const directory = scratch.directory("sync");
    const name = `${berth.host}/${repository}`;
    await skopeo([
      "sync",
      "--src=docker",
      "--dest=dir",
      ...trust("src-"),
      "--all",
      "--scoped",
      `${name}/multi`,
      directory,
    ]);
    const synced = `${directory}/${name}`;
    await skopeo(["sync", "--src=dir", "--dest=docker", ...trust("dest-"), "--all", synced, `${name}/mirrored`]);
    expect((await fetchManifest(berth, `${repository}/mirrored/multi`, "v1")).digest).toBe(multi.index.digest);
    await skopeo([
      "sync",
      "--src=docker",
      "--dest=docker",
      ...trust("src-"),
      ...trust("dest-"),
      `${name}/formats:oci`,
      `${name}/again`,
    ]);
    expect(await listTags(berth, `${repository}/again/formats`)).toEqual(["oci"]);
  });

  test("deletes what a tag names, and with it the tag", async () => {
    const { digest } = await fetchManifest(berth, `${repository}/formats`, "docker");
    await skopeo(["delete", ...trust(), image("formats:docker")]);
    expect(await manifestStatus(berth, `${repository}/formats`, "docker")).toBe(404);
    expect(await manifestStatus(berth, `${repository}/formats`, digest)).toBe(404);
    expect(await listTags(berth, `${repository}/formats`)).toEqual(["list", "oci"]);
  });

  test("logs out", async () => {
    await skopeo(["logout", berth.host]);
    const { code, output } = await trySkopeo(["inspect", ...trust(), image("multi:v1")]);
    expect([code, output]).toEqual([1, expect.stringMatching(/unauthorized|denied|authentication required/i)]);
  });
}
