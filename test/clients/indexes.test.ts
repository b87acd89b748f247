import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { type Berth, startBerth } from "../harness/berth.ts";
import { type Descriptor, digestOf, mediaTypes, readLayout } from "../harness/image-layout.ts";
import { makeMultiArchLayout, type MultiArchLayout } from "../harness/multi-arch-layout.ts";
import { fetchManifest, manifestStatus, pushBlob, pushManifest } from "../harness/registry.ts";
import { hashFile, makeSampleImage, type SampleImage } from "../harness/sample-image.ts";
import { makeScratch } from "../harness/scratch.ts";
import { siteOf } from "../harness/site.ts";
import { describeAsRoot, describeInstalled } from "../harness/suites.ts";
import { run } from "../harness/tools.ts";
import { containerd } from "./drivers/containerd.ts";
import type { Client } from "./drivers/client.ts";
import { crane } from "./drivers/crane.ts";
import { docker } from "./drivers/docker.ts";
import { podman } from "./drivers/podman.ts";

setDefaultTimeout(120_000);

describeInstalled(["crane", "skopeo"], "indexes", () => {
  const scratch = makeScratch();
  let berth: Berth;
  let multi: MultiArchLayout;
  let sample: SampleImage;

  beforeAll(async () => {
    berth = await startBerth();
    multi = await makeMultiArchLayout(scratch);
    sample = await makeSampleImage(scratch);
    await (await crane.open(scratch)).login(siteOf(berth));
    await call("crane", "push", multi.indexOnly, image("multi:v1"));
    await call("crane", "push", sample.layout, image("multi:sample"));
  });

  afterAll(async () => {
    await berth.stop();
    await scratch.remove();
  });

  const repository = "my-project/indexes/multi";
  const image = (name: string): string => `${berth.host}/my-project/indexes/${name}`;
  const call = (...args: string[]): Promise<string> => run(args, { env: scratch.env });

  test("an index of indexes is copied with all that is below it", async () => {
    const inner = await fetchManifest(berth, repository, "v1");
    const child: Descriptor = { mediaType: mediaTypes.index, digest: inner.digest, size: inner.text.length };
    const outer = await pushManifest(berth, repository, { mediaType: mediaTypes.index, manifests: [child] }, "nested");
    await call("crane", "copy", image("multi:nested"), image("elsewhere/nested:v1"));
    expect((await fetchManifest(berth, "my-project/indexes/elsewhere/nested", "v1")).digest).toBe(outer.digest);
    for (const { digest } of [multi.index, multi.images.amd64, multi.images.arm64]) {
      expect(await manifestStatus(berth, "my-project/indexes/elsewhere/nested", digest)).toBe(200);
    }
    await call("crane", "validate", "--remote", image("elsewhere/nested:v1"));
  });

  test("an index may lack children; what is there is pulled", async () => {
    const absent = {
      mediaType: mediaTypes.image,
      digest: digestOf(randomBytes(8)),
      size: 500,
      platform: { os: "linux", architecture: "arm64" },
    };
    const manifests = [multi.images.amd64, absent];
    const { digest } = await pushManifest(berth, repository, { mediaType: mediaTypes.index, manifests }, "sparse");
    expect((await fetchManifest(berth, repository, "sparse")).digest).toBe(digest);
    expect(await manifestStatus(berth, repository, absent.digest)).toBe(404);
    const pulled = scratch.directory("sparse");
    await call(
      "skopeo",
      "copy",
      "--src-tls-verify=false",
      "--override-arch=amd64",
      `docker://${image("multi:sparse")}`,
      `oci:${pulled}:v1`,
    );
    expect(readLayout(pulled).digest).toBe(multi.images.amd64.digest);
  });

  test("BuildKit's cache, an index whose entries are layers, is kept", async () => {
    const layer = await pushBlob(berth, repository, Bun.gzipSync(randomBytes(3000)), mediaTypes.gzip);
    const config = await pushBlob(
      berth,
      repository,
      '{"layers":[],"records":[]}',
      "application/vnd.buildkit.cacheconfig.v0",
    );
    const { digest } = await pushManifest(
      berth,
      repository,
      { mediaType: mediaTypes.index, manifests: [layer, config] },
      "buildcache",
    );
    expect((await fetchManifest(berth, repository, "buildcache")).digest).toBe(digest);
  });

  /** What `docker buildx build` pushes: the image, and beside it an attestation for no platform at all. */
  const pushAttested = async (): Promise<void> => {
    const content = '{"_type":"https://in-toto.io/Statement/v0.1"}';
    const statement = await pushBlob(berth, repository, content, "application/vnd.in-toto+json");
    const rootfs = { type: "layers", diff_ids: [statement.digest] };
    const none = JSON.stringify({ architecture: "unknown", os: "unknown", rootfs });
    const config = await pushBlob(berth, repository, none, mediaTypes.config);
    const attestation = await pushManifest(berth, repository, {
      mediaType: mediaTypes.image,
      config,
      layers: [statement],
    });
    const annotations = {
      "vnd.docker.reference.type": "attestation-manifest",
      "vnd.docker.reference.digest": sample.digest,
    };
    const { text } = await fetchManifest(berth, repository, "sample");
    const manifests = [
      {
        mediaType: mediaTypes.image,
        digest: sample.digest,
        size: text.length,
        platform: { os: "linux", architecture: "amd64" },
      },
      { ...attestation, platform: { os: "unknown", architecture: "unknown" }, annotations },
    ];
    await pushManifest(berth, repository, { mediaType: mediaTypes.index, manifests }, "attested");
  };

  test("an image with attestations is pushed", async () => {
    await pushAttested();
    const { manifests = [] } = await fetchManifest(berth, repository, "attested");
    expect(manifests.map(({ platform }) => platform?.os)).toEqual(["linux", "unknown"]);
    await call("crane", "copy", image("multi:attested"), image("attested:v1"));
  });

  const pullers: readonly Client[] = [docker, containerd, podman];
  for (const client of pullers) {
    describeAsRoot(client.programs, client.name, () => {
      test("pulls its own platform of an image with attestations", async () => {
        const session = await client.open(scratch);
        try {
          await session.login(siteOf(berth));
          const hash = await session.pull(siteOf(berth), image("multi:attested"), (root) =>
            hashFile(root, sample.file),
          );
          expect(hash).toBe(sample.fileHash);
        } finally {
          await session.close();
        }
      });
    });
  }
});
