import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { type Berth, startBerth } from "../harness/berth.ts";
import { type Gcloud, type GcloudProxy, inPairs, openGcloud, startGcloudProxy } from "../harness/gcloud.ts";
import { makeMultiArchLayout, type MultiArchLayout } from "../harness/multi-arch-layout.ts";
import { fetchManifest, listTags, manifestStatus } from "../harness/registry.ts";
import { makeSampleImage, type SampleImage } from "../harness/sample-image.ts";
import { makeScratch } from "../harness/scratch.ts";
import { user } from "../harness/site.ts";
import { describeInstalled } from "../harness/suites.ts";
import { adminEmail } from "../harness/tenants.ts";
import { run } from "../harness/tools.ts";

setDefaultTimeout(60_000);

interface Described {
  image_summary: { digest: string; fully_qualified_digest: string; registry: string; repository: string };
}

interface Listed {
  digest: string;
  tags: string[];
  timestamp: { year: number };
}

const images = ["container", "images"];
const byRepository = (a: { repository: string }, b: { repository: string }): number =>
  a.repository < b.repository ? -1 : 1;

// By an address with a port gcloud takes the commands on one image; those that list want a name like gcr.io.
describeInstalled(["gcloud", "crane"], "gcloud container images at localhost", () => {
  const scratch = makeScratch();
  let berth: Berth;
  let gcloud: Gcloud;
  let sample: SampleImage;
  let multi: MultiArchLayout;

  beforeAll(async () => {
    berth = await startBerth();
    gcloud = await openGcloud(berth, scratch);
    [sample, multi] = await Promise.all([makeSampleImage(scratch, 1), makeMultiArchLayout(scratch)]);
    const crane = (args: string[]): Promise<string> => run(["crane", ...args], { env: scratch.env, input: berth.key });
    await crane(["auth", "login", berth.host, "--username", user, "--password-stdin"]);
    await crane(["push", sample.layout, image("app:v1")]);
    await crane(["push", multi.indexOnly, image("multi:v1")]);
  });

  afterAll(async () => {
    await berth.stop();
    await scratch.remove();
  });

  const image = (rest: string): string => `${berth.host}/my-project/${rest}`;

  test("describes images and lists, by tag and by digest", async () => {
    const [byTag, index, byDigest] = await inPairs(
      () => gcloud.json<Described>(...images, "describe", image("app:v1")),
      () => gcloud.json<Described>(...images, "describe", image("multi:v1")),
      () => gcloud.json<Described>(...images, "describe", image(`app@${sample.digest}`)),
    );
    expect(byTag?.image_summary).toEqual({
      digest: sample.digest,
      fully_qualified_digest: image(`app@${sample.digest}`),
      registry: berth.host,
      repository: "my-project/app",
    });
    expect(byDigest?.image_summary).toEqual(byTag?.image_summary as Described["image_summary"]);
    expect(index?.image_summary.digest).toBe(multi.index.digest);
  });

  test("adds tags, in other repositories too, and takes one away", async () => {
    await inPairs(
      () => gcloud.text(...images, "add-tag", image("app:v1"), image("app:v2"), image("copies/app:v1")),
      () => gcloud.text(...images, "add-tag", image("multi:v1"), image("copies/multi:v1")),
    );
    expect((await fetchManifest(berth, "my-project/app", "v2")).digest).toBe(sample.digest);
    expect((await fetchManifest(berth, "my-project/copies/app", "v1")).digest).toBe(sample.digest);
    expect((await fetchManifest(berth, "my-project/copies/multi", "v1")).digest).toBe(multi.index.digest);
    for (const child of Object.values(multi.images)) {
      expect(await manifestStatus(berth, "my-project/copies/multi", child.digest)).toBe(200);
    }
    await gcloud.text(...images, "untag", image("app:v2"));
    expect(await listTags(berth, "my-project/app")).toEqual(["v1"]);
  });

  test("says that an image is not there", async () => {
    const { code, output } = await gcloud.attempt([...images, "describe", image("app:v9")]);
    expect([code, output]).toEqual([1, expect.stringContaining(`[${image("app:v9")}] is not found`)]);
  });
});

// Through `berth gcloud-proxy`: no root, no name server, no hosts file.
describeInstalled(["gcloud", "crane"], "gcloud container images under Container Registry's names", () => {
  const scratch = makeScratch();
  let berth: Berth;
  let proxy: GcloudProxy;
  let gcloud: Gcloud;
  let sample: SampleImage;
  let multi: MultiArchLayout;

  beforeAll(async () => {
    berth = await startBerth({ tls: true });
    proxy = await startGcloudProxy(berth, scratch);
    gcloud = await openGcloud(berth, scratch, { proxy });
    [sample, multi] = await Promise.all([makeSampleImage(scratch, 1), makeMultiArchLayout(scratch)]);
    const viaProxy = { ...scratch.env, HTTPS_PROXY: proxy.url, SSL_CERT_FILE: proxy.ca };
    const crane = (args: string[]): Promise<string> => run(["crane", ...args], { env: viaProxy, input: berth.key });
    for (const host of ["gcr.io", "eu.gcr.io"]) {
      await crane(["auth", "login", host, "--username", user, "--password-stdin"]);
      await crane(["push", sample.layout, `${host}/my-project/app:v1`]);
    }
    await crane(["push", sample.layout, "gcr.io/my-project/deep/er/app:v1"]);
    await crane(["push", multi.indexOnly, "gcr.io/my-project/multi:v1"]);
  });

  afterAll(async () => {
    await proxy.stop();
    await berth.stop();
    await scratch.remove();
  });

  const names = (listed: { name: string }[] | undefined): string[] => (listed ?? []).map(({ name }) => name);
  const listTagsOf = (name: string): Promise<Listed[]> => gcloud.json<Listed[]>(...images, "list-tags", name);

  test("lists the repositories of a project, of a directory, and of each host", async () => {
    const list = (...args: string[]) => gcloud.json<{ name: string }[]>(...images, "list", ...args);
    const [own, deep, europe] = await inPairs(
      () => list(),
      () => list("--repository=gcr.io/my-project/deep"),
      () => list("--repository=eu.gcr.io/my-project"),
    );
    expect(names(own)).toEqual(["app", "deep", "multi"].map((name) => `gcr.io/my-project/${name}`));
    expect(names(deep)).toEqual(["gcr.io/my-project/deep/er"]);
    expect(names(europe)).toEqual(["eu.gcr.io/my-project/app"]);
  });

  test("tells which of the hosts are in use", async () => {
    const usage = (...scope: string[]) =>
      gcloud.json<{ repository: string; usage: string }[]>(...images, "list-gcr-usage", ...scope);
    const organization = await gcloud.text("organizations", "list", "--format=value(name.basename())");
    const viewer = [`--member=serviceAccount:${adminEmail}`, "--role=roles/cloudasset.viewer"];
    await gcloud.text("organizations", "add-iam-policy-binding", organization, ...viewer);
    const [project, all] = await inPairs(
      () => usage("--project=my-project"),
      () => usage(`--organization=${organization}`),
    );
    const expected = ["eu.gcr.io/my-project", "gcr.io/my-project"].map((repository) => ({
      repository,
      usage: "ACTIVE",
    }));
    expect([...(project ?? [])].sort(byRepository)).toEqual(expected);
    expect([...(all ?? [])].sort(byRepository)).toEqual(expected);
  });

  test("lists tags, with the images that a list holds", async () => {
    const [app, all] = await inPairs(
      () => listTagsOf("gcr.io/my-project/app"),
      () => listTagsOf("gcr.io/my-project/multi"),
    );
    expect(app).toMatchObject([{ digest: sample.digest, tags: ["v1"] }]);
    expect(all).toHaveLength(1 + Object.keys(multi.images).length);
    expect(all?.filter(({ tags }) => tags.length > 0)).toMatchObject([{ digest: multi.index.digest, tags: ["v1"] }]);
    // The time an image was made; a list has none.
    expect(app?.[0]?.timestamp.year).toBeGreaterThan(1970);
  });

  test("describes by the beginning of a digest, moves tags and deletes", async () => {
    const name = "gcr.io/my-project/app";
    await gcloud.text(...images, "add-tag", `${name}:v1`, `${name}:v2`);
    const short = await gcloud.json<Described>(...images, "describe", `${name}@${sample.digest.slice(0, 17)}`);
    expect(short.image_summary.fully_qualified_digest).toBe(`${name}@${sample.digest}`);
    const refused = await gcloud.attempt([...images, "delete", `${name}@${sample.digest}`]);
    expect([refused.code, refused.output]).toEqual([1, expect.stringContaining("--force-delete-tags")]);
    await gcloud.text(...images, "untag", `${name}:v1`);
    expect(await listTagsOf(name)).toMatchObject([{ digest: sample.digest, tags: ["v2"] }]);
    await gcloud.text(...images, "delete", `${name}@${sample.digest}`, "--force-delete-tags");
    expect(await listTagsOf(name)).toEqual([]);
  });

  test("deletes an image that a list holds after the list", async () => {
    const name = "gcr.io/my-project/multi";
    const child = `${name}@${multi.images.amd64.digest}`;
    const { code, output } = await gcloud.attempt([...images, "delete", child]);
    const reason = `Manifest ${multi.images.amd64.digest} is referenced by image ${multi.index.digest}`;
    expect([code, output]).toEqual([1, expect.stringContaining(reason)]);
    await gcloud.text(...images, "delete", `${name}:v1`);
    await gcloud.text(...images, "delete", child);
    expect(await listTagsOf(name)).toMatchObject([{ digest: multi.images.arm64.digest, tags: [] }]);
  });
});
