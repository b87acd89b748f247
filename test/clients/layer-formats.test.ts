import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { type Berth, startBerth } from "../harness/berth.ts";
import { contentsOffsetOf, type EstargzEntry, estargzFooterSize, makeEstargzLayer } from "../harness/estargz-layer.ts";
import {
  type Descriptor,
  digestOf,
  ImageLayout,
  type ManifestDocument,
  mediaTypes,
  sha256,
} from "../harness/image-layout.ts";
import { fetchManifest, manifestStatus } from "../harness/registry.ts";
import { hashFile } from "../harness/sample-image.ts";
import { makeScratch } from "../harness/scratch.ts";
import { siteOf } from "../harness/site.ts";
import { describeAsRoot, describeInstalled } from "../harness/suites.ts";
import { attempt, run } from "../harness/tools.ts";
import { allClients } from "./drivers/all.ts";
import type { ClientSession } from "./drivers/client.ts";
import { crane } from "./drivers/crane.ts";

setDefaultTimeout(120_000);

const scratch = makeScratch();
const payload = randomBytes(700_000);
const sessions = new Map<string, Promise<ClientSession>>();
let berth: Berth;

const repository = "my-project/layers";
const image = (name: string): string => `${berth.host}/${repository}/${name}`;

function open(client: (typeof allClients)[number]): Promise<ClientSession> {
  const known =
    sessions.get(client.name) ??
    client.open(scratch).then(async (session) => {
      await session.login(siteOf(berth));
      return session;
    });
  sessions.set(client.name, known);
  return known;
}

/** Pushes an image of one layer as `NAME:v1`. */
async function push(
  name: string,
  make: (layout: ImageLayout) => [Descriptor, string],
  flags: readonly string[] = [],
): Promise<Descriptor> {
  const layout = new ImageLayout(scratch.directory("layout"));
  const [layer, diffId] = make(layout);
  const pushed = layout.addImage([layer], [diffId]);
  layout.tag(pushed, "v1");
  await open(crane);
  await run(["crane", "push", ...flags, layout.path, image(`${name}:v1`)], { env: scratch.env });
  return layer;
}

/** Every client that knows the format gets the file out of the image. */
function pulledByEveryClient(name: string, without: readonly string[] = []): void {
  for (const client of allClients.filter((each) => !without.includes(each.name))) {
    describeAsRoot(client.programs, client.name, () => {
      test("pulls it", async () => {
        const session = await open(client);
        const hash = await session.pull(siteOf(berth), image(`${name}:v1`), (root) => hashFile(root, "payload.bin"));
        expect(hash).toBe(sha256(payload));
      });
    });
  }
}

describeInstalled(crane.programs, "layers", () => {
  beforeAll(async () => {
    berth = await startBerth();
  });

  afterAll(async () => {
    for (const opened of await Promise.allSettled(sessions.values())) {
      if (opened.status === "fulfilled") await opened.value.close();
    }
    await berth.stop();
    await scratch.remove();
  });

  describe("compressed with zstd", () => {
    beforeAll(async () => {
      const tar = await new Bun.Archive({ "payload.bin": payload }).bytes();
      await push("zstd", (layout) => [layout.addBlob(Bun.zstdCompressSync(tar), mediaTypes.zstd), digestOf(tar)]);
    });

    // Docker knows zstd from 23.0 on, umoci from 0.5.0 on; Debian 12 has older ones.
    pulledByEveryClient("zstd", ["docker", "umoci"]);
  });

  describe("that are not compressed", () => {
    beforeAll(async () => {
      const tar = await new Bun.Archive({ "payload.bin": payload }).bytes();
      await push("plain", (layout) => [layout.addBlob(tar, mediaTypes.tar), digestOf(tar)]);
    });

    pulledByEveryClient("plain");
  });

  describe("in eStargz", () => {
    let layer: Descriptor;

    beforeAll(async () => {
      const { content, tar, annotations } = await makeEstargzLayer({
        "first.bin": randomBytes(5000),
        "payload.bin": payload,
      });
      layer = await push("estargz", (layout) => [
        { ...layout.addBlob(content, mediaTypes.gzip), annotations },
        digestOf(tar),
      ]);
    });

    pulledByEveryClient("estargz");

    test("one file is read by ranges, as a lazy puller does", async () => {
      const { layers = [] } = await fetchManifest(berth, repository.concat("/estargz"), "v1");
      expect(layers[0]?.annotations).toEqual(layer.annotations as Record<string, string>);
      const range = async (first: number, last: number): Promise<Uint8Array<ArrayBuffer>> => {
        const reply = await berth.fetch(`/v2/${repository}/estargz/blobs/${layer.digest}`, {
          headers: { range: `bytes=${first}-${last}` },
        });
        expect([reply.status, reply.headers.get("content-range")]).toEqual([
          206,
          `bytes ${first}-${last}/${layer.size}`,
        ]);
        return reply.bytes();
      };
      const footerStart = layer.size - estargzFooterSize;
      const contentsStart = contentsOffsetOf(await range(footerStart, layer.size - 1));
      const contents = Buffer.from(Bun.gunzipSync(await range(contentsStart, footerStart - 1)))
        .subarray(512)
        .toString();
      const text = contents.slice(0, contents.indexOf("\0"));
      expect(digestOf(text)).toBe(layer.annotations?.["containerd.io/snapshot/stargz/toc.digest"] as string);
      const entry = (JSON.parse(text) as { entries: EstargzEntry[] }).entries.find(
        ({ name }) => name === "payload.bin",
      ) as EstargzEntry;
      const file = Bun.gunzipSync(await range(entry.offset, contentsStart - 1)).subarray(0, entry.size);
      expect(digestOf(file)).toBe(entry.digest);
    });
  });

  describe("that must not be distributed", () => {
    let source: ReturnType<typeof Bun.serve>;
    let layer: Descriptor;

    beforeAll(async () => {
      const tar = await new Bun.Archive({ "payload.bin": payload }).bytes();
      const compressed = Bun.gzipSync(tar);
      source = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response(compressed) });
      const urls = [`http://127.0.0.1:${source.port}/layer.tar.gz`];
      const make = (layout: ImageLayout): [Descriptor, string] => [
        { ...layout.addBlob(compressed, mediaTypes.foreignLayer), urls },
        digestOf(tar),
      ];
      layer = await push("foreign", make);
      await push("allowed", make, ["--allow-nondistributable-artifacts"]);
    });

    afterAll(() => source.stop(true));

    test("the image is there, its layer is not", async () => {
      const { layers } = await fetchManifest(berth, `${repository}/foreign`, "v1");
      expect(layers as Descriptor[]).toEqual([layer]);
      const head = await berth.fetch(`/v2/${repository}/foreign/blobs/${layer.digest}`, { method: "HEAD" });
      expect(head.status).toBe(404);
    });

    describeInstalled(["skopeo"], "skopeo", () => {
      test("takes the layer from its own place", async () => {
        const directory = scratch.directory("foreign");
        const credentials = `--src-creds=_json_key:${berth.key}`;
        await run([
          "skopeo",
          "copy",
          "--src-tls-verify=false",
          credentials,
          `docker://${image("foreign:v1")}`,
          `dir:${directory}`,
        ]);
        expect(await hashFile(directory, layer.digest.slice("sha256:".length))).toBe(
          layer.digest.slice("sha256:".length),
        );
      });
    });

    test("unless crane was told to send it along", async () => {
      const head = await berth.fetch(`/v2/${repository}/allowed/blobs/${layer.digest}`, { method: "HEAD" });
      expect(head.status).toBe(200);
    });
  });

  describe("of a type that nobody knows", () => {
    test("are carried like others, and missing ones are refused", async () => {
      const layout = new ImageLayout(scratch.directory("chart"));
      const config = layout.addBlob('{"name":"chart"}', "application/vnd.cncf.helm.config.v1+json");
      const layers = [layout.addBlob(payload, "application/vnd.cncf.helm.chart.content.v1.tar+gzip")];
      layout.tag(layout.addDocument({ config, layers }, mediaTypes.image), "v1");
      await run(["crane", "push", layout.path, image("chart:v1")], { env: scratch.env });
      const { digest, text } = await fetchManifest(berth, `${repository}/chart`, "v1");
      await run(["crane", "copy", image("chart:v1"), image("copied-chart:v1")], { env: scratch.env });
      expect((await fetchManifest(berth, `${repository}/copied-chart`, "v1")).digest).toBe(digest);
      const absent = {
        ...(JSON.parse(text) as ManifestDocument),
        layers: [{ ...(layers[0] as Descriptor), digest: digestOf("absent") }],
      };
      const put = { method: "PUT", body: JSON.stringify(absent), headers: { "content-type": mediaTypes.image } };
      const refused = await berth.fetch(`/v2/${repository}/chart/manifests/v2`, put);
      expect([refused.status, await refused.text()]).toEqual([404, expect.stringContaining(digestOf("absent"))]);
      expect(await manifestStatus(berth, `${repository}/chart`, "v2")).toBe(404);
      const { code } = await attempt(["crane", "manifest", image("chart:v2")], { env: scratch.env });
      expect(code).toBe(1);
    });
  });
});
