import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { type Berth, startBerth } from "../harness/berth.ts";
import { type Dockerd, startDockerd } from "../harness/dockerd.ts";
import { type ManifestDocument, mediaTypes } from "../harness/image-layout.ts";
import { fetchManifest, listTags, type ServedManifest } from "../harness/registry.ts";
import { makeSampleImage, type SampleImage } from "../harness/sample-image.ts";
import { makeScratch } from "../harness/scratch.ts";
import { user } from "../harness/site.ts";
import { describeAsRoot } from "../harness/suites.ts";
import { attempt, type Outcome, run } from "../harness/tools.ts";

setDefaultTimeout(180_000);

describeAsRoot(["docker", "dockerd"], "docker", () => {
  const scratch = makeScratch();
  let berth: Berth;
  let daemon: Dockerd;
  let sample: SampleImage;

  beforeAll(async () => {
    berth = await startBerth();
    daemon = await startDockerd(scratch);
    sample = await makeSampleImage(scratch);
  });

  afterAll(async () => {
    await daemon.stop();
    await berth.stop();
    await scratch.remove();
  });

  const named = (rest: string): string => `${berth.host}/my-project/docker/${rest}`;
  const tryDocker = (args: string[], input = ""): Promise<Outcome> =>
    attempt(["docker", ...args], { env: daemon.env, input });
  const docker = (args: string[], input = ""): Promise<string> => run(["docker", ...args], { env: daemon.env, input });
  const tryLogin = (password: string): Promise<Outcome> =>
    tryDocker(["login", "--username", user, "--password-stdin", berth.host], password);
  const manifest = (image: string, reference: string): Promise<ServedManifest> =>
    fetchManifest(berth, `my-project/docker/${image}`, reference);

  test("without login neither pulls nor pushes", async () => {
    await docker(["import", sample.tree, named("app:v1")]);
    const push = await tryDocker(["push", named("app:v1")]);
    expect([push.code, push.output]).toEqual([
      1,
      expect.stringMatching(/denied|unauthorized|don't have the needed permissions/i),
    ]);
    const pull = await tryDocker(["pull", named("other:v1")]);
    expect([pull.code, pull.output]).toEqual([1, expect.stringMatching(/denied|unauthorized/i)]);
  });

  test("login with what is no key is refused in Container Registry's words", async () => {
    const { code, output } = await tryLogin("wrong");
    expect([code, output]).toEqual([1, expect.stringContaining("Unable to parse json key.")]);
  });

  test("login with a key of the right shape that the server never gave out is refused", async () => {
    const { privateKey } = await crypto.subtle.generateKey(
      { name: "RSASSA-PKCS1-v1_5", modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]), hash: "SHA-256" },
      true,
      ["sign"],
    );
    const der = Buffer.from(await crypto.subtle.exportKey("pkcs8", privateKey)).toString("base64");
    const pem = `-----BEGIN PRIVATE KEY-----\n${der.replace(/.{64}/g, "$&\n")}\n-----END PRIVATE KEY-----\n`;
    const { code, output } = await tryLogin(JSON.stringify({ ...JSON.parse(berth.key), private_key: pem }));
    expect([code, output]).toEqual([1, expect.stringMatching(/unauthorized/i)]);
  });

  test("login, push, pull by tag and by digest", async () => {
    expect((await tryLogin(berth.key)).output).toContain("Login Succeeded");
    const id = await docker(["image", "inspect", "--format", "{{.Id}}", named("app:v1")]);
    const pushed = /digest: (sha256:[0-9a-f]{64})/.exec(await docker(["push", named("app:v1")]))?.[1] as string;
    expect((await manifest("app", "v1")).digest).toBe(pushed);
    await docker(["rmi", named("app:v1")]);
    await docker(["pull", named("app:v1")]);
    expect(await docker(["image", "inspect", "--format", "{{.Id}}", named("app:v1")])).toBe(id);
    await docker(["rmi", named("app:v1")]);
    await docker(["pull", named(`app@${pushed}`)]);
    expect(await docker(["image", "inspect", "--format", "{{.Id}}", named(`app@${pushed}`)])).toBe(id);
    await docker(["tag", named(`app@${pushed}`), named("app:v1")]);
  });

  test("a layer that is there is not sent again; one of another repository is mounted", async () => {
    expect(await docker(["push", named("app:v1")])).toContain("Layer already exists");
    await docker(["tag", named("app:v1"), named("nested/copy:v1")]);
    expect(await docker(["push", named("nested/copy:v1")])).toContain("Mounted from my-project/docker/app");
    expect((await manifest("nested/copy", "v1")).layers).toEqual((await manifest("app", "v1")).layers);
  });

  test("push of all tags, one of which moves", async () => {
    const before = await manifest("app", "v1");
    await docker(["import", "--change", "ENV MOVED=yes", sample.tree, named("app:v1")]);
    await docker(["tag", named("app:v1"), named("app:v2")]);
    await docker(["push", "--all-tags", named("app")]);
    const after = await manifest("app", "v1");
    expect(after.digest).not.toBe(before.digest);
    expect((await manifest("app", "v2")).digest).toBe(after.digest);
    expect(await listTags(berth, "my-project/docker/app")).toEqual(["v1", "v2"]);
    // What the tag meant before is still there by digest.
    expect((await manifest("app", before.digest)).digest).toBe(before.digest);
  });

  test("a tag that is not there", async () => {
    const { code, output } = await tryDocker(["pull", named("app:none")]);
    expect([code, output]).toEqual([1, expect.stringMatching(/manifest unknown|not found/i)]);
  });

  test("a list of two architectures by `docker manifest`, pulled by architecture", async () => {
    const architectures = ["amd64", "arm64"];
    for (const architecture of architectures) {
      await docker([
        "import",
        "--change",
        `ENV ARCHITECTURE=${architecture}`,
        sample.tree,
        named(`multi:${architecture}`),
      ]);
      await docker(["push", named(`multi:${architecture}`)]);
    }
    const members = architectures.map((architecture) => named(`multi:${architecture}`));
    await docker(["manifest", "create", "--insecure", named("multi:all"), ...members]);
    await docker([
      "manifest",
      "annotate",
      "--os",
      "linux",
      "--arch",
      "arm64",
      named("multi:all"),
      named("multi:arm64"),
    ]);
    const digest = (await docker(["manifest", "push", "--insecure", named("multi:all")])).trim().split("\n").at(-1);
    const list = await manifest("multi", "all");
    expect(list.digest).toBe(digest as string);
    expect(list.mediaType).toBe(mediaTypes.dockerList);
    expect(list.manifests?.map(({ platform }) => platform?.architecture)).toEqual(architectures);
    const inspected = await docker(["manifest", "inspect", "--insecure", named("multi:all")]);
    expect((JSON.parse(inspected) as ManifestDocument).manifests).toEqual(list.manifests as []);
    for (const [index, architecture] of architectures.entries()) {
      await docker(["image", "prune", "--all", "--force"]);
      await docker(["pull", "--platform", `linux/${architecture}`, named("multi:all")]);
      const config = (await manifest("multi", list.manifests?.[index]?.digest as string)).config?.digest;
      expect((await docker(["image", "inspect", "--format", "{{.Id}}", named("multi:all")])).trim()).toBe(
        config as string,
      );
    }
  });

  test("after logout nothing is pulled any more", async () => {
    await docker(["logout", berth.host]);
    const { code, output } = await tryDocker(["pull", named("app:v1")]);
    expect([code, output]).toEqual([1, expect.stringMatching(/denied|unauthorized/i)]);
  });

  describeAsRoot(["gcc"], "an image from scratch", () => {
    test("is built, pushed, pulled and run", async () => {
      await tryLogin(berth.key);
      const context = scratch.directory("context");
      await Bun.write(
        join(context, "hello.c"),
        'int puts(const char *); int main(void) { return puts("hello from scratch") < 0; }\n',
      );
      await Bun.write(
        join(context, "Dockerfile"),
        'FROM scratch\nCOPY hello /hello\nCOPY hello.c /src/\nCMD ["/hello"]\n',
      );
      await run(["gcc", "-static", "-Os", "-o", join(context, "hello"), join(context, "hello.c")]);
      await docker(["build", "--tag", named("scratch:v1"), context]);
      await docker(["push", named("scratch:v1")]);
      await docker(["image", "prune", "--all", "--force"]);
      expect(await docker(["run", "--rm", "--network", "none", named("scratch:v1")])).toBe("hello from scratch\n");
      expect((await manifest("scratch", "v1")).layers).toHaveLength(2);
    });
  });
});
