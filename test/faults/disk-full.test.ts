import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digestOf } from "../../src/names/digest.ts";
import { type Berth, startBerth } from "../harness/berth.ts";
import { describeAsRoot } from "../harness/suites.ts";
import { run } from "../harness/tools.ts";

const repository = "my-project/full";
const manifestType = "application/vnd.oci.image.index.v1+json";

describeAsRoot(["mount", "umount"], "a disk that is full", () => {
  const place = mkdtempSync(join(tmpdir(), "berth-full-"));
  const data = join(place, "data");
  const filler = join(data, "filler");
  let berth: Berth;
  let authorization: string;

  beforeAll(async () => {
    await run(["mkdir", data]);
    await run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", data]);
    berth = await startBerth({ data });
    authorization = `Bearer ${await berth.token(`repository:${repository}:pull,push,delete`)}`;
  });

  afterAll(async () => {
    await berth.stop();
    await run(["umount", "-l", data]);
    rmSync(place, { recursive: true, force: true });
  });

  const ask = (path: string, init: RequestInit = {}): Promise<Response> =>
    berth.fetch(path, { ...init, headers: { authorization, ...(init.headers as Record<string, string>) } });

  async function push(bytes: Uint8Array<ArrayBuffer>): Promise<Response> {
    return ask(`/v2/${repository}/blobs/uploads/?digest=${digestOf(bytes)}`, { method: "POST", body: bytes });
  }

  function putManifest(number: number): Promise<Response> {
    const body = JSON.stringify({
      schemaVersion: 2,
      mediaType: manifestType,
      manifests: [],
      annotations: { number: `${number}`, pad: "x".repeat(20_000) },
    });
    return ask(`/v2/${repository}/manifests/t${number}`, {
      method: "PUT",
      body,
      headers: { "content-type": manifestType },
    });
  }

  async function expectFull(reply: Response): Promise<void> {
    expect(await reply.json()).toMatchObject({ errors: [{ code: "STORAGE_FULL" }] });
    expect(reply.status).toBe(507);
  }

  const staged = (): string[] => readdirSync(join(data, "blobs/staging"));

  test("in mid-upload: a clear error, nothing claimed, and it goes on when there is room", async () => {
    const large = crypto.getRandomValues(new Uint8Array(65_536));
    const bytes = new Uint8Array(80 * 2 ** 20);
    bytes.set(large);
    await expectFull(await push(bytes));
    expect((await ask(`/v2/${repository}/blobs/${digestOf(bytes)}`, { method: "HEAD" })).status).toBe(404);
    expect(staged()).toEqual([]);
    const small = bytes.slice(0, 2 ** 20);
    expect((await push(small)).status).toBe(201);
  });

  test("in mid-upload by chunks: the upload stays where it was", async () => {
    const begun = await ask(`/v2/${repository}/blobs/uploads/`, { method: "POST" });
    const head = new Uint8Array(1024).fill(1);
    const first = await ask(begun.headers.get("location") ?? "", { method: "PATCH", body: head });
    expect(first.status).toBe(202);
    const location = first.headers.get("location") ?? "";
    await expectFull(await ask(location, { method: "PATCH", body: new Uint8Array(80 * 2 ** 20) }));
    const state = await ask(location);
    expect([state.status, state.headers.get("range")]).toEqual([204, "0-1023"]);
    const closed = await ask(`${state.headers.get("location")}?digest=${digestOf(head)}`, { method: "PUT" });
    expect(closed.status).toBe(201);
    expect(staged()).toEqual([]);
  });

  test("in the database: a clear error, nothing half done, reads go on, and writes when there is room", async () => {
    expect((await putManifest(0)).status).toBe(201);
    writeFileSync(filler, "");
    try {
      await run(["sh", "-c", `cat /dev/zero > '${filler}' 2>/dev/null || true`]);
      let number = 1;
      let reply = await putManifest(number);
      // The database has some room in its files yet.
      while (reply.status === 201 && number < 2000) reply = await putManifest(++number);
      await expectFull(reply);
      expect((await ask(`/v2/${repository}/manifests/t${number}`)).status).toBe(404);
      expect((await ask(`/v2/${repository}/manifests/t0`)).status).toBe(200);
    } finally {
      rmSync(filler);
    }
    expect((await putManifest(5000)).status).toBe(201);
    expect((await ask(`/v2/${repository}/manifests/t5000`)).status).toBe(200);
  });
});
