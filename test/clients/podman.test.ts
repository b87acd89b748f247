import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Berth, startBerth } from "../harness/berth.ts";
import { mediaTypes } from "../harness/image-layout.ts";
import { makeMultiArchLayout, type MultiArchLayout } from "../harness/multi-arch-layout.ts";
import { fetchManifest } from "../harness/registry.ts";
import { hashFile, makeSampleImage, type SampleImage } from "../harness/sample-image.ts";
import { makeScratch } from "../harness/scratch.ts";
import { type Site, siteOf, user } from "../harness/site.ts";
import { describeAsRoot } from "../harness/suites.ts";
import { attempt, type Outcome, run } from "../harness/tools.ts";
import { storageFlags, trustFlags } from "./drivers/container-tools.ts";

setDefaultTimeout(120_000);

describeAsRoot(["podman"], "podman", () => {
  for (const tls of [false, true]) describe(tls ? "over HTTPS" : "over HTTP", () => suite(tls));
});

function suite(tls: boolean): void {
  const scratch = makeScratch();
  let berth: Berth;
  let site: Site;
  let sample: SampleImage;
  let multi: MultiArchLayout;

  beforeAll(async () => {
    berth = await startBerth({ tls });
    site = siteOf(berth);
    sample = await makeSampleImage(scratch);
    multi = await makeMultiArchLayout(scratch);
  });

  afterAll(async () => {
    await berth.stop();
    await scratch.remove();
  });

  const repository = "my-project/podman";
  const image = (rest: string): string => `${berth.host}/${repository}/${rest}`;
  const command = (args: string[]): string[] => ["podman", ...storageFlags(scratch, "podman"), ...args];
  const tryPodman = (args: string[], input = ""): Promise<Outcome> =>
    attempt(command(args), { env: scratch.env, input });
  const podman = async (args: string[], input = ""): Promise<string> =>
    (await run(command(args), { env: scratch.env, input })).trim();
  const trust = (): string[] => trustFlags(scratch, site);
  const login = (password: string): Promise<Outcome> =>
    tryPodman(["login", ...trust(), "--username", user, "--password-stdin", berth.host], password);
  const removeAll = (): Promise<string> => podman(["rmi", "--all", "--force"]);

  test("is sent away without login and with a wrong password", async () => {
    const { code, output } = await tryPodman(["pull", "--quiet", ...trust(), image("app:v1")]);
    expect([code, output]).toEqual([
      125,
      expect.stringMatching(/unauthorized|denied|authentication required|needed permissions/i),
    ]);
    expect(await login("wrong")).toMatchObject({
      code: 125,
      output: expect.stringContaining("invalid username/password") as string,
    });
    expect((await login(berth.key)).output).toContain("Login Succeeded!");
  });

  test("pushes in both formats, and pulls by tag and by digest", async () => {
    const id = await podman(["pull", "--quiet", `oci:${sample.layout}:${sample.tag}`]);
    for (const [format, type] of [
      ["oci", mediaTypes.image],
      ["v2s2", mediaTypes.dockerImage],
    ] as const) {
      const digestFile = `${scratch.path}/digest`;
      await podman([
        "push",
        "--quiet",
        ...trust(),
        `--format=${format}`,
        `--digestfile=${digestFile}`,
        id,
        image(`app:${format}`),
      ]);
      const pushed = await fetchManifest(berth, `${repository}/app`, format);
      expect(pushed.contentType).toBe(type);
      expect(pushed.digest).toBe((await Bun.file(digestFile).text()).trim());
    }
    const { digest } = await fetchManifest(berth, `${repository}/app`, "oci");
    for (const name of [image("app:v2s2"), image(`app@${digest}`)]) {
      await removeAll();
      await podman(["pull", "--quiet", ...trust(), name]);
      const root = await podman(["image", "mount", name]);
      expect(await hashFile(root, sample.file)).toBe(sample.fileHash);
      await podman(["image", "unmount", name]);
    }
  });

  test("recompresses layers with zstd", async () => {
    await removeAll();
    // One whose layers the registry does not have, or podman would use those.
    const fresh = await makeSampleImage(scratch);
    const id = await podman(["pull", "--quiet", `oci:${fresh.layout}:${fresh.tag}`]);
    const flags = ["--quiet", ...trust(), "--compression-format=zstd", "--format=oci"];
    await podman(["push", ...flags, id, image("compressed:zstd")]);
    const { layers } = await fetchManifest(berth, `${repository}/compressed`, "zstd");
    expect(layers?.map(({ mediaType }) => mediaType)).toEqual([mediaTypes.zstd, mediaTypes.zstd]);
    await removeAll();
    await podman(["pull", "--quiet", ...trust(), image("compressed:zstd")]);
    const root = await podman(["image", "mount", image("compressed:zstd")]);
    expect(await hashFile(root, fresh.file)).toBe(fresh.fileHash);
    await podman(["image", "unmount", image("compressed:zstd")]);
  });

  test("makes a manifest list, pushes all of it, and pulls one architecture", async () => {
    await removeAll();
    await podman(["manifest", "create", "list"]);
    for (const architecture of ["amd64", "arm64"]) {
      await podman([
        "manifest",
        "add",
        `--arch=${architecture}`,
        "--os=linux",
        "list",
        `oci:${multi.path}:${architecture}`,
      ]);
    }
    await podman(["manifest", "push", "--all", ...trust(), "list", `docker://${image("multi:v1")}`]);
    const list = await fetchManifest(berth, `${repository}/multi`, "v1");
    expect(list.manifests?.map(({ digest }) => digest)).toEqual([multi.images.amd64.digest, multi.images.arm64.digest]);
    await removeAll();
    await podman(["pull", "--quiet", ...trust(), "--arch=arm64", image("multi:v1")]);
    expect(await podman(["image", "inspect", "--format={{.Architecture}}", image("multi:v1")])).toBe("arm64");
  });

  test("lists the tags of a repository", async () => {
    const search = ["search", "--list-tags", `--tls-verify=${tls}`, image("app")];
    // This one has no flag for a directory of certificates.
    const listed = await run(command(search), { env: { ...scratch.env, ...(tls ? { SSL_CERT_FILE: site.ca } : {}) } });
    const tags = listed
      .trim()
      .split("\n")
      .map((line) => line.split(/\s+/).at(-1));
    expect(tags).toEqual(["TAG", "oci", "v2s2"]);
  });

  test("logs out", async () => {
    await podman(["logout", berth.host]);
    const { code, output } = await tryPodman(["pull", "--quiet", ...trust(), image("app:oci")]);
    expect([code, output]).toEqual([
      125,
      expect.stringMatching(/unauthorized|denied|authentication required|needed permissions/i),
    ]);
  });
}
