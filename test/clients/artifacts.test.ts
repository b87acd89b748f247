import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { type Berth, startBerth } from "../harness/berth.ts";
import { type Descriptor, ImageLayout, type ManifestDocument, mediaTypes } from "../harness/image-layout.ts";
import { fetchManifest, listTags, pushBlob, pushManifest } from "../harness/registry.ts";
import { makeSampleImage, type SampleImage } from "../harness/sample-image.ts";
import { makeScratch } from "../harness/scratch.ts";
import { siteOf } from "../harness/site.ts";
import { describeInstalled } from "../harness/suites.ts";
import { run } from "../harness/tools.ts";
import { crane } from "./drivers/crane.ts";

setDefaultTimeout(120_000);

const signature = "application/vnd.dev.cosign.artifact.sig.v1+json";
const bill = "application/spdx+json";

describeInstalled(["crane"], "artifacts", () => {
  const scratch = makeScratch();
  let berth: Berth;
  let sample: SampleImage;
  let subject: Descriptor;

  beforeAll(async () => {
    berth = await startBerth();
    sample = await makeSampleImage(scratch);
    await (await crane.open(scratch)).login(siteOf(berth));
    await call("push", sample.layout, image("app:v1"));
    const { digest, text } = await fetchManifest(berth, `${repository}/app`, "v1");
    subject = { mediaType: mediaTypes.image, digest, size: text.length };
  });

  afterAll(async () => {
    await berth.stop();
    await scratch.remove();
  });

  const repository = "my-project/artifacts";
  const image = (name: string): string => `${berth.host}/${repository}/${name}`;
  const call = async (...args: string[]): Promise<string> =>
    (await run(["crane", ...args], { env: scratch.env })).trimEnd();
  const empty = (): Promise<Descriptor> =>
    pushBlob(berth, `${repository}/app`, "{}", "application/vnd.oci.empty.v1+json");
  const attach = async (artifactType: string, content: string): Promise<Descriptor> => {
    const layer = await pushBlob(berth, `${repository}/app`, content, artifactType);
    const annotations = { "org.example.content": content };
    const document = {
      mediaType: mediaTypes.image,
      artifactType,
      config: await empty(),
      layers: [layer],
      subject,
      annotations,
    };
    const descriptor = await pushManifest(berth, `${repository}/app`, document);
    return { ...descriptor, artifactType, annotations };
  };
  const referrers = async (
    digest: string,
    query = "",
  ): Promise<{ index: ManifestDocument; filters: string | null }> => {
    const reply = await berth.fetch(`/v2/${repository}/app/referrers/${digest}${query}`);
    expect([reply.status, reply.headers.get("content-type")]).toEqual([200, mediaTypes.index]);
    return { index: (await reply.json()) as ManifestDocument, filters: reply.headers.get("oci-filters-applied") };
  };

  test("an artifact of its own type and no config is pushed, shown and copied", async () => {
    const layout = new ImageLayout(scratch.directory("artifact"));
    const config = layout.addBlob("{}", "application/vnd.oci.empty.v1+json");
    const layers = [layout.addBlob('{"policy":true}', "application/vnd.example.policy.v1+json")];
    const artifact = layout.addDocument(
      { artifactType: "application/vnd.example.policy", config, layers },
      mediaTypes.image,
    );
    layout.tag(artifact, "v1");
    expect(await call("push", layout.path, image("policy:v1"))).toBe(image(`policy@${artifact.digest}`));
    expect(JSON.parse(await call("manifest", image("policy:v1")))).toMatchObject({
      artifactType: "application/vnd.example.policy",
    });
    expect(await call("blob", image(`policy@${layers[0]?.digest}`))).toBe('{"policy":true}');
    await call("copy", image("policy:v1"), image("elsewhere/policy:v1"));
    expect((await fetchManifest(berth, `${repository}/elsewhere/policy`, "v1")).digest).toBe(artifact.digest);
  });

  test("what refers to an image is listed by type, and goes from the list when it is deleted", async () => {
    expect((await referrers(subject.digest)).index.manifests).toEqual([]);
    const signed = await attach(signature, "signature");
    const described = await attach(bill, "bill of materials");
    const byDigest = (list: Descriptor[] = []): Descriptor[] => list.toSorted((a, b) => (a.digest < b.digest ? -1 : 1));
    const both = byDigest([signed, described]);
    expect(byDigest((await referrers(subject.digest)).index.manifests)).toEqual(both);
    const filtered = await referrers(subject.digest, `?artifactType=${encodeURIComponent(bill)}`);
    expect([filtered.index.manifests, filtered.filters]).toEqual([[described], "artifactType"]);
    await call("delete", image(`app@${signed.digest}`));
    expect((await referrers(subject.digest)).index.manifests).toEqual([described]);
  });

  test("artifacts for an image that is not there yet are found once it is", async () => {
    const layout = new ImageLayout(scratch.directory("later"));
    const later = layout.addImage([], [], "riscv64");
    layout.tag(later, "v1");
    const { platform: _, ...target } = later;
    const layer = await pushBlob(berth, `${repository}/app`, "early", signature);
    const document = {
      mediaType: mediaTypes.image,
      artifactType: signature,
      config: await empty(),
      layers: [layer],
      subject: target,
    };
    const early = await pushManifest(berth, `${repository}/app`, document);
    await call("push", layout.path, image("app:later"));
    const { index } = await referrers(later.digest);
    expect(index.manifests?.map(({ digest }) => digest)).toEqual([early.digest]);
  });

  test("clients that keep referrers under a tag find that tag", async () => {
    const tag = `${sample.digest.replace(":", "-")}.sig`;
    await call("tag", image("app:v1"), tag);
    expect(await listTags(berth, `${repository}/app`)).toContain(tag);
    expect(await call("digest", image(`app:${tag}`))).toBe(sample.digest);
  });
});
