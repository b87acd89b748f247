import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Berth, startBerth, until } from "../harness/berth.ts";
import { contentOf, noise } from "../harness/content.ts";
import { pushBlob, pushManifest } from "../harness/registry.ts";
import { s3Credentials, type S3Server, startS3Server } from "../harness/s3-server.ts";
import { makeScratch } from "../harness/scratch.ts";
import { describeInstalled } from "../harness/suites.ts";

setDefaultTimeout(120_000);

const mediaType = "application/vnd.oci.image.manifest.v1+json";
const octets = "application/octet-stream";
const repository = "my-project/stored";

describeInstalled(["versitygw"], "a server whose blobs are on S3", () => {
  const scratch = makeScratch();
  let s3: S3Server;
  let config: string;
  let berth: Berth;
  beforeAll(async () => {
    s3 = await startS3Server();
    const secretFile = join(scratch.path, "secret");
    writeFileSync(secretFile, s3Credentials.secretAccessKey);
    config = [
      "stores:",
      `  default: { driver: s3, bucket: berth, endpoint: "${s3.url}", path-style: true, prefix: registry/, timeout: 2,`,
      `    access-key-id: ${s3Credentials.accessKeyId}, secret-access-key-file: "${secretFile}" }`,
    ].join("\n");
    berth = await startBerth({ config });
  });
  afterAll(async () => {
    await berth.stop();
    await s3.stop();
    rmSync(berth.data, { recursive: true, force: true });
    await scratch.remove();
  });

  const stored = (kind: "bytes" | "staging" | "index"): string[] => {
    const directory = join(s3.directory, "registry", kind);
    return existsSync(directory) ? readdirSync(directory) : [];
  };

  test("what was acknowledged is there after a kill, in the bucket and not on the disk", async () => {
    const large = contentOf(noise("large", 20 * 2 ** 20));
    const config = await pushBlob(berth, repository, "{}", octets);
    const layer = await pushBlob(berth, repository, large.bytes, octets);
    await pushManifest(berth, repository, { mediaType, config, layers: [layer] }, "v1");
    await berth.kill();
    berth = await startBerth({ config: configOf(), data: berth.data });
    const reply = await berth.fetch(`/v2/${repository}/blobs/${layer.digest}`);
    expect(reply.status).toBe(200);
    expect(Buffer.from(await reply.bytes()).equals(large.bytes)).toBe(true);
    const part = await berth.fetch(`/v2/${repository}/blobs/${layer.digest}`, {
      headers: { range: "bytes=5-1000004" },
    });
    expect(part.status).toBe(206);
    expect(Buffer.from(await part.bytes()).equals(large.bytes.subarray(5, 1_000_005))).toBe(true);
    expect((await berth.fetch(`/v2/${repository}/manifests/v1`)).status).toBe(200);
    expect(stored("index").length).toBe(stored("bytes").length);
    expect(stored("staging")).toEqual([]);
    expect(existsSync(join(berth.data, "blobs"))).toBe(false);
  });
  const configOf = (): string => config;

  test("an upload in chunks becomes one blob; one that is cancelled leaves nothing", async () => {
    const { bytes, digest } = contentOf(noise("chunks", 9_000_000));
    const before = stored("bytes").length;
    const upload = async (): Promise<string> => {
      const begun = await berth.fetch(`/v2/${repository}/blobs/uploads/`, { method: "POST" });
      let place = begun.headers.get("location") as string;
      for (const [from, to] of [
        [0, 3_000_000],
        [3_000_000, 9_000_000],
      ] as const) {
        const reply = await berth.fetch(place, { method: "PATCH", body: new Uint8Array(bytes.subarray(from, to)) });
        expect(reply.status).toBe(202);
        place = reply.headers.get("location") as string;
      }
      return place;
    };
    expect((await berth.fetch(await upload(), { method: "DELETE" })).status).toBe(204);
    expect([stored("bytes").length, stored("staging")]).toEqual([before, []]);
    expect((await berth.fetch(`${await upload()}?digest=${digest}`, { method: "PUT" })).status).toBe(201);
    expect([stored("bytes").length, stored("staging")]).toEqual([before + 1, []]);
    const reply = await berth.fetch(`/v2/${repository}/blobs/${digest}`);
    expect(Buffer.from(await reply.bytes()).equals(bytes)).toBe(true);
  });

  test("the same blob twice is stored once", async () => {
    const { bytes } = contentOf(noise("twice", 100_000));
    await pushBlob(berth, repository, bytes, octets);
    const before = stored("bytes").length;
    await pushBlob(berth, "my-project/other", bytes, octets);
    expect([stored("bytes").length, stored("index").length, stored("staging")]).toEqual([before, before, []]);
  });

  test("bytes that changed in the store never arrive as a whole blob", async () => {
    const { bytes } = contentOf(noise("rotten", 2_000_000));
    const before = new Set(stored("bytes"));
    const { digest } = await pushBlob(berth, repository, bytes, octets);
    const name = stored("bytes").find((each) => !before.has(each)) as string;
    const path = join(s3.directory, "registry/bytes", name);
    const changed = readFileSync(path);
    changed[1_500_000] = (changed[1_500_000] as number) ^ 1;
    writeFileSync(path, changed);
    const arrived = berth.fetch(`/v2/${repository}/blobs/${digest}`).then((reply) => reply.bytes());
    await expect(arrived).rejects.toThrow();
  });

  test("while the store is away the server says so, and it goes on when the store is back", async () => {
    const { digest } = await pushBlob(berth, repository, contentOf(noise("kept", 300_000)).bytes, octets);
    await s3.kill();
    const { bytes, digest: refused } = contentOf(noise("refused", 1000));
    const put = await berth.fetch(`/v2/${repository}/blobs/uploads/?digest=${refused}`, {
      method: "POST",
      body: new Uint8Array(bytes),
    });
    expect([put.status, await put.text()]).toEqual([503, expect.stringContaining("UNAVAILABLE")]);
    expect((await berth.fetch(`/v2/${repository}/blobs/${digest}`)).status).toBe(503);
    expect((await fetch(`${berth.url}/readyz`)).status).toBe(503);
    expect((await fetch(`${berth.url}/healthz`)).status).toBe(200);
    expect((await berth.fetch(`/v2/${repository}/blobs/${refused}`, { method: "HEAD" })).status).toBe(404);
    await s3.start();
    await until(async () => (await fetch(`${berth.url}/readyz`)).ok || undefined);
    expect((await berth.fetch(`/v2/${repository}/blobs/${digest}`)).status).toBe(200);
    await pushBlob(berth, repository, bytes, octets);
  });
});
