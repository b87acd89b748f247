import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Berth, startBerth } from "../harness/berth.ts";
import { type ConnectProxy, startConnectProxy } from "../harness/connect-proxy.ts";
import { makeMultiArchLayout, type MultiArchLayout } from "../harness/multi-arch-layout.ts";
import { hashFile, makeSampleImage, type SampleImage } from "../harness/sample-image.ts";
import { makeScratch } from "../harness/scratch.ts";
import type { Site } from "../harness/site.ts";
import { describeAsRoot, describeInstalled } from "../harness/suites.ts";
import { attempt, type Outcome, run } from "../harness/tools.ts";
import { allClients } from "./drivers/all.ts";
import { crane } from "./drivers/crane.ts";

setDefaultTimeout(120_000);

const hosts = ["gcr.io", "eu.gcr.io"] as const;

// Through a proxy that leads every name to Berth, clients use Container Registry's own names on the standard port,
// unmodified, and verify the certificate: for a name on loopback dockerd would not.
describe("under Container Registry's names", () => {
  const scratch = makeScratch();
  let berth: Berth;
  let proxy: ConnectProxy;
  let sample: SampleImage;
  let env: Record<string, string>;

  beforeAll(async () => {
    berth = await startBerth({ tls: true });
    proxy = await startConnectProxy(berth.port);
    sample = await makeSampleImage(scratch);
    // Before gcrane looks into the Docker configuration it asks for the metadata server of Google's cloud.
    env = { HTTPS_PROXY: proxy.url, SSL_CERT_FILE: berth.ca, NO_GCE_CHECK: "true" };
  });

  afterAll(async () => {
    await proxy.close();
    await berth.stop();
    await scratch.remove();
  });

  for (const client of allClients) {
    describeAsRoot(client.programs, client.name, () => {
      test("pushes to two hosts and pulls from them", async () => {
        const session = await client.open(scratch, { env });
        try {
          for (const host of hosts) {
            const site: Site = { host, key: berth.key, ca: berth.ca };
            await session.login(site);
            const image = `${host}/my-project/${client.name}/app:v1`;
            await session.push(site, sample, image);
            const hash = await session.pull(site, image, (root) => hashFile(root, sample.file));
            expect(hash).toBe(sample.fileHash);
          }
        } finally {
          await session.close();
        }
        for (const host of hosts) expect(proxy.tunnels).toContain(`${host}:443`);
      });
    });
  }

  describeInstalled(crane.programs, "as they behaved", () => {
    let multi: MultiArchLayout;

    beforeAll(async () => {
      multi = await makeMultiArchLayout(scratch);
      const session = await crane.open(scratch, { env });
      for (const host of hosts) await session.login({ host, key: berth.key, ca: berth.ca });
    });

    const clean = (): Record<string, string | undefined> => ({ ...scratch.env, ...env });
    const tryCrane = (...args: string[]): Promise<Outcome> => attempt(["crane", ...args], { env: clean() });
    const ask = (...args: string[]): Promise<string> => run(["crane", ...args], { env: clean() });

    test("the same path under two hosts is two images", async () => {
      await ask("push", sample.layout, "gcr.io/my-project/apart:v1");
      const { code, output } = await tryCrane("manifest", "eu.gcr.io/my-project/apart:v1");
      expect([code, output]).toEqual([1, expect.stringContaining("MANIFEST_UNKNOWN")]);
      await ask("copy", "gcr.io/my-project/apart:v1", "eu.gcr.io/my-project/apart:v1");
      expect((await ask("digest", "eu.gcr.io/my-project/apart:v1")).trim()).toBe(sample.digest);
    });

    test("a manifest that is tagged is not deleted, the tag first", async () => {
      const image = "gcr.io/my-project/tagged";
      await ask("push", sample.layout, `${image}:v1`);
      const { code, output } = await tryCrane("delete", `${image}@${sample.digest}`);
      expect([code, output]).toEqual([
        1,
        expect.stringContaining("GOOGLE_MANIFEST_DANGLING_TAG: Manifest is still referenced by tag: v1"),
      ]);
      await ask("delete", `${image}:v1`);
      await ask("delete", `${image}@${sample.digest}`);
    });

    test("an image that a list holds is not deleted, the list first", async () => {
      const image = "gcr.io/my-project/held";
      await ask("push", multi.indexOnly, `${image}:v1`);
      await ask("delete", `${image}:v1`);
      const child = multi.images.amd64.digest;
      const { code, output } = await tryCrane("delete", `${image}@${child}`);
      expect(code).toBe(1);
      expect(output).toContain("GOOGLE_MANIFEST_DANGLING_PARENT_IMAGE");
      expect(output.trim()).toEndWith(multi.index.digest);
      await ask("delete", `${image}@${multi.index.digest}`);
      await ask("delete", `${image}@${child}`);
    });
  });
});
