import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { createCipheriv } from "node:crypto";
import { rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { type Berth, startBerth } from "../harness/berth.ts";
import { type Descriptor, ImageLayout, mediaTypes } from "../harness/image-layout.ts";
import { fetchManifest } from "../harness/registry.ts";
import { makeScratch } from "../harness/scratch.ts";
import { siteOf } from "../harness/site.ts";
import { describeInstalled } from "../harness/suites.ts";
import { run } from "../harness/tools.ts";
import { crane } from "./drivers/crane.ts";

setDefaultTimeout(240_000);

const gibibyte = 2 ** 30;
const fileSize = 3 * gibibyte;

/** A tar file with one file of three gibibytes that never repeat: bytes out of place would change the digest. */
async function makeLargeTar(path: string): Promise<Descriptor> {
  const small = await new Bun.Archive({ large: "" }).bytes();
  const header = Buffer.from(small.subarray(0, 512));
  header.write(fileSize.toString(8).padStart(11, "0"), 124, "latin1");
  // The sum of the header's bytes with the sum's own field as spaces. [POSIX pax, ustar]
  header.fill(" ", 148, 156);
  header.write(
    `${header
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, "0")}\0 `,
    148,
    "latin1",
  );
  const hasher = new Bun.CryptoHasher("sha256");
  const file = Bun.file(path).writer({ highWaterMark: 2 ** 24 });
  const add = async (bytes: Uint8Array): Promise<void> => {
    hasher.update(bytes);
    await file.write(bytes);
    await file.flush();
  };
  const noise = createCipheriv("aes-128-ctr", Buffer.alloc(16, 7), Buffer.alloc(16));
  const zeros = Buffer.alloc(2 ** 24);
  await add(header);
  for (let written = 0; written < fileSize; written += zeros.length) await add(noise.update(zeros));
  await add(Buffer.alloc(1024));
  await file.end();
  return { mediaType: mediaTypes.tar, digest: `sha256:${hasher.digest("hex")}`, size: statSync(path).size };
}

describeInstalled([...crane.programs, "skopeo"], "a layer of 3 GiB", () => {
  const scratch = makeScratch();
  let berth: Berth;
  let layout: ImageLayout;
  let layer: Descriptor;
  const repository = "my-project/large/app";

  beforeAll(async () => {
    berth = await startBerth();
    layout = new ImageLayout(scratch.directory("layout"));
    const tar = join(scratch.path, "large.tar");
    layer = await makeLargeTar(tar);
    layout.adoptFile(tar, layer);
    layout.tag(layout.addImage([layer], [layer.digest]), "v1");
    await (await crane.open(scratch)).login(siteOf(berth));
  });

  afterAll(async () => {
    await berth.stop();
    await scratch.remove();
  });

  test("is pushed by crane", async () => {
    await run(["crane", "push", layout.path, `${berth.host}/${repository}:v1`], { env: scratch.env });
    expect(
      (await fetchManifest(berth, repository, "v1")).layers?.map(({ digest, size }) => ({ digest, size })),
    ).toEqual([{ digest: layer.digest, size: layer.size }]);
    rmSync(layout.path, { recursive: true });
  });

  test("is pulled by skopeo, which verifies it", async () => {
    const directory = scratch.directory("pulled");
    const credentials = `--src-creds=_json_key:${berth.key}`;
    const source = `docker://${berth.host}/${repository}:v1`;
    await run(["skopeo", "copy", "--src-tls-verify=false", credentials, source, `dir:${directory}`]);
    expect(statSync(join(directory, layer.digest.slice("sha256:".length))).size).toBe(layer.size);
    rmSync(directory, { recursive: true });
  });

  test("is read in its middle, beyond what 32 bits count", async () => {
    const first = 512 + 2.5 * gibibyte;
    const headers = { range: `bytes=${first}-${first + 15}` };
    const reply = await berth.fetch(`/v2/${repository}/blobs/${layer.digest}`, { headers });
    expect([reply.status, reply.headers.get("content-range")]).toEqual([
      206,
      `bytes ${first}-${first + 15}/${layer.size}`,
    ]);
    // The key stream of AES in counter mode at that block.
    const counter = Buffer.alloc(16);
    counter.writeBigUInt64BE(BigInt((2.5 * gibibyte) / 16), 8);
    const expected = createCipheriv("aes-128-ctr", Buffer.alloc(16, 7), counter).update(Buffer.alloc(16));
    expect(Buffer.from(await reply.bytes())).toEqual(expected);
  });
});
