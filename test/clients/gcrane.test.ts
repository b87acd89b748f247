import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Berth, startBerth } from "../harness/berth.ts";
import { type ConnectProxy, startConnectProxy } from "../harness/connect-proxy.ts";
import { makeMultiArchLayout, type MultiArchLayout } from "../harness/multi-arch-layout.ts";
import { fetchManifest, listTags, loggedRequests } from "../harness/registry.ts";
import { makeSampleImage, type SampleImage } from "../harness/sample-image.ts";
import { makeScratch } from "../harness/scratch.ts";
import { user } from "../harness/site.ts";
import { describeInstalled } from "../harness/suites.ts";
import { findProgram, run } from "../harness/tools.ts";

setDefaultTimeout(120_000);

// gcrane asks Google's hosts in one page of 10,000 and others in pages of 1,000; both replies must hold the whole map.
describeInstalled(["gcrane"], "gcrane", () => {
  for (const google of [false, true]) describe(google ? "at gcr.io" : "at another host", () => suite(google));
});

function suite(google: boolean): void {
  const scratch = makeScratch();
  let berth: Berth;
  let proxy: ConnectProxy;
  let env: Record<string, string | undefined>;
  let host: string;
  let sample: SampleImage;
  let multi: MultiArchLayout;

  beforeAll(async () => {
    berth = await startBerth({ tls: google });
    proxy = await startConnectProxy(berth.port);
    host = google ? "gcr.io" : berth.host;
    env = { ...scratch.env };
    if (google) {
      // Before it looks into the Docker configuration it asks gcloud and the metadata server of Google's cloud.
      const neither = { PATH: scratch.path, NO_GCE_CHECK: "true" };
      env = { ...env, ...neither, HTTPS_PROXY: proxy.url, SSL_CERT_FILE: berth.ca };
    }
    sample = await makeSampleImage(scratch, 1);
    multi = await makeMultiArchLayout(scratch);
    const login = ["auth", "login", host, "--username", user, "--password-stdin"];
    await run([program(), ...login], { env, input: berth.key });
    await gcrane("push", sample.layout, image("app:v1"));
    await gcrane("tag", image("app:v1"), "latest");
    await gcrane("push", multi.indexOnly, image("app/nested/multi:v1"));
    await gcrane("push", sample.layout, image("other:v1"));
  });

  afterAll(async () => {
    await proxy.close();
    await berth.stop();
    await scratch.remove();
  });

  const image = (rest: string): string => `${host}/my-project/tree/${rest}`;
  const program = (): string => findProgram("gcrane") as string;
  const gcrane = (...args: string[]): Promise<string> => run([program(), ...args], { env });
  const lines = (text: string): string[] => text.trimEnd().split("\n").toSorted();

  test("lists images and folders", async () => {
    const own = [image("app:latest"), image("app:v1"), image(`app@${sample.digest}`)];
    expect(lines(await gcrane("ls", image("app")))).toEqual([...own, image("app/nested")].toSorted());
    expect(lines(await gcrane("ls", `${host}/my-project`))).toEqual([`${host}/my-project/tree`]);
  });

  test("lists a whole project", async () => {
    const nested = image("app/nested/multi");
    const children = [multi.images.amd64.digest, multi.images.arm64.digest].map((digest) => `${nested}@${digest}`);
    expect(lines(await gcrane("ls", "-r", `${host}/my-project`))).toEqual(
      [
        image("app:latest"),
        image("app:v1"),
        image(`app@${sample.digest}`),
        `${nested}:v1`,
        `${nested}@${multi.index.digest}`,
        ...children,
        image("other:v1"),
        image(`other@${sample.digest}`),
      ].toSorted(),
    );
  });

  test("gives sizes and times of the images", async () => {
    const { manifest } = JSON.parse(await gcrane("ls", "--json", image("app"))) as {
      manifest: Record<
        string,
        { imageSizeBytes: string; timeCreatedMs: string; timeUploadedMs: string; tag: string[] }
      >;
    };
    const { layers = [] } = await fetchManifest(berth, "my-project/tree/app", "v1");
    const entry = manifest[sample.digest];
    expect(entry).toMatchObject({
      imageSizeBytes: String(layers.reduce((sum, { size }) => sum + size, 0)),
      timeCreatedMs: String(Date.parse("2024-05-06T07:08:09Z")),
      tag: ["latest", "v1"],
    });
    expect(Math.abs(Date.now() - Number(entry?.timeUploadedMs))).toBeLessThan(600_000);
  });

  test("finds what no tag names", async () => {
    const untagged = [multi.images.amd64.digest, multi.images.arm64.digest].map((digest) =>
      image(`app/nested/multi@${digest}`),
    );
    expect(lines(await gcrane("gc", "-r", image("app")))).toEqual(untagged.toSorted());
    expect(await gcrane("gc", image("other"))).toBe("");
  });

  test("copies a whole tree, and once more only what is new", async () => {
    await gcrane("cp", "-r", image("app"), image("copied"));
    expect(await listTags(berth, "my-project/tree/copied")).toEqual(["latest", "v1"]);
    expect((await fetchManifest(berth, "my-project/tree/copied/nested/multi", "v1")).digest).toBe(multi.index.digest);
    const before = await putsOf("copied");
    await gcrane("tag", image("app:v1"), "v2");
    await gcrane("cp", "-r", image("app"), image("copied"));
    expect(await listTags(berth, "my-project/tree/copied")).toEqual(["latest", "v1", "v2"]);
    expect(await putsOf("copied")).toBe(before + 1);
  });

  const putsOf = async (name: string): Promise<number> => {
    const manifests = `/v2/my-project/tree/${name}/manifests/`;
    return (await loggedRequests(berth)).filter(({ method, path }) => method === "PUT" && path.startsWith(manifests))
      .length;
  };
}
