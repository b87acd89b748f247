import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Berth, startBerth } from "../harness/berth.ts";
import { type Containerd, startContainerd } from "../harness/containerd.ts";
import { makeMultiArchLayout, type MultiArchLayout } from "../harness/multi-arch-layout.ts";
import { fetchManifest, loggedRequests } from "../harness/registry.ts";
import { makeSampleImage, type SampleImage } from "../harness/sample-image.ts";
import { makeScratch } from "../harness/scratch.ts";
import { type Site, siteOf, user } from "../harness/site.ts";
import { describeAsRoot } from "../harness/suites.ts";
import { type Outcome, run } from "../harness/tools.ts";
import { writeHosts } from "./drivers/containerd.ts";

setDefaultTimeout(120_000);

describeAsRoot(["containerd", "ctr"], "containerd", () => {
  for (const tls of [false, true]) describe(tls ? "over HTTPS" : "over HTTP", () => suite(tls));
});

function suite(tls: boolean): void {
  const scratch = makeScratch();
  let berth: Berth;
  let site: Site;
  let daemon: Containerd;
  let sample: SampleImage;
  let multi: MultiArchLayout;
  let hosts: string;

  beforeAll(async () => {
    berth = await startBerth({ tls });
    site = siteOf(berth);
    daemon = await startContainerd(scratch);
    sample = await makeSampleImage(scratch);
    multi = await makeMultiArchLayout(scratch);
    hosts = await writeHosts(scratch, site);
  });

  afterAll(async () => {
    await daemon.stop();
    await berth.stop();
    await scratch.remove();
  });

  const repository = "my-project/containerd";
  const image = (rest: string): string => `${berth.host}/${repository}/${rest}`;
  const tryCtr = (args: string[]): Promise<Outcome> => daemon.attempt(args);
  const ctr = (...args: string[]): Promise<string> => daemon.run(args);
  const access = (secret = site.key): string[] => ["--hosts-dir", hosts, "--user", `${user}:${secret}`];
  const removeAll = async (): Promise<void> => {
    const names = (await ctr("images", "ls", "-q")).split("\n").filter((name) => name !== "");
    if (names.length > 0) await ctr("images", "rm", "--sync", ...names);
    expect(await ctr("content", "ls", "-q")).toBe("");
  };

  test("without the key, and with a wrong one, neither pushes nor pulls", async () => {
    await ctr("images", "import", "--base-name", "test/sample", sample.archive);
    await ctr("images", "tag", `test/sample:${sample.tag}`, image("app:v1"));
    for (const flags of [["--hosts-dir", hosts], access("wrong")]) {
      for (const action of ["push", "pull"]) {
        const { code, output } = await tryCtr(["images", action, ...flags, image("app:v1")]);
        expect([code, output]).toEqual([1, expect.stringMatching(/401|403|unauthorized|denied|authorization failed/i)]);
      }
    }
  });

  test("pushes, and pulls by tag and by digest", async () => {
    await ctr("images", "push", ...access(), image("app:v1"));
    expect((await fetchManifest(berth, `${repository}/app`, "v1")).digest).toBe(sample.digest);
    for (const name of [image("app:v1"), image(`app@${sample.digest}`)]) {
      await removeAll();
      await ctr("images", "pull", ...access(), name);
      expect(await ctr("images", "check", `name==${name}`)).toMatch(new RegExp(`${sample.digest} +complete`));
    }
  });

  test("pushes what it pulled elsewhere, mounting the layers", async () => {
    await removeAll();
    await ctr("images", "pull", ...access(), image("app:v1"));
    await ctr("images", "tag", image("app:v1"), image("mounted/app:v1"));
    await ctr("images", "push", ...access(), image("mounted/app:v1"));
    expect((await fetchManifest(berth, `${repository}/mounted/app`, "v1")).digest).toBe(sample.digest);
    const uploads = `/v2/${repository}/mounted/app/blobs/uploads/`;
    const sent = (await loggedRequests(berth)).filter(({ path }) => path.startsWith(uploads));
    // The config is mounted too; nothing is sent after the POST that asks for the mount.
    expect([...new Set(sent.map(({ method, status }) => `${method} ${status}`))]).toEqual(["POST 201"]);
  });

  test("pushes and pulls an index with all its architectures", async () => {
    await removeAll();
    const archive = `${multi.indexOnly}.tar`;
    await run(["tar", "-C", multi.indexOnly, "-cf", archive, "."]);
    await ctr("images", "import", "--all-platforms", "--base-name", "test/multi", archive);
    await ctr("images", "tag", "test/multi:multi", image("multi:v1"));
    await ctr("images", "push", ...access(), image("multi:v1"));
    expect((await fetchManifest(berth, `${repository}/multi`, "v1")).digest).toBe(multi.index.digest);
    await removeAll();
    await ctr("images", "pull", "--all-platforms", ...access(), image("multi:v1"));
    expect((await ctr("content", "ls", "-q")).trim().split("\n").toSorted()).toEqual(multi.digests.toSorted());
    await removeAll();
    await ctr("images", "pull", "--platform", "linux/arm64", ...access(), image("multi:v1"));
    const arm = await ctr("content", "ls", "-q");
    expect(arm).toContain(multi.images.arm64.digest);
    expect(arm).not.toContain(multi.images.amd64.digest);
  });

  test("fetches single objects", async () => {
    const { text } = await fetchManifest(berth, `${repository}/multi`, "v1");
    expect(await ctr("content", "fetch-object", ...access(), image("multi:v1"))).toContain(text);
  });

  if (tls) {
    test("trusts the server by the authority in hosts.toml only", async () => {
      const other = await writeHosts(
        { ...scratch, path: scratch.directory("other") },
        { ...site, ca: "/etc/ssl/certs/ca-certificates.crt" },
      );
      const flags = ["--hosts-dir", other, "--user", `${user}:${site.key}`];
      const { code, output } = await tryCtr(["images", "pull", ...flags, image("app:v1")]);
      expect([code, output]).toEqual([1, expect.stringMatching(/certificate signed by unknown authority/)]);
    });
  }
}
