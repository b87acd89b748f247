import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Berth, startBerth, until } from "../harness/berth.ts";
import { digestOf, mediaTypes } from "../harness/image-layout.ts";
import { Pusher } from "../harness/pusher.ts";
import { breakOff, type BrokenRequest } from "./broken-request.ts";
import { Http2Breaker } from "./broken-request-http2.ts";
import { downloads, type Site, uploads } from "./broken-routes.ts";
import { faultsIn } from "./clients.ts";
import { openFiles, ownMemory, serverProcesses } from "./processes.ts";
import { announcedSeed, contentBytes, countFrom, makeContent, Random } from "./random.ts";
import { stagedBytes } from "./verify.ts";

/** 150 for each route in a short run; `BERTH_ABORTS=1000 npm test -- faults` for a long one. */
const aborts = countFrom("BERTH_ABORTS", 150);
const random = new Random(announcedSeed("aborts"));
const atOnce = 8;
/** What a process may have in memory while these requests come, and when they are over. */
const memory = { busy: 280 * 10 ** 6, idle: 150 * 10 ** 6 };

/** No more than run at once: an upload that is left over, even one, soon keeps others from beginning. */
const openUploads = `limits: { open-uploads: ${atOnce} }\n`;
const repository = "my-project/aborts";

describe.each([
  { name: "files that the kernel sends", transfer: "file", tls: false, routes: { ...downloads, ...uploads } },
  { name: "streams", transfer: "stream", tls: false, routes: downloads },
  { name: "HTTP/2", transfer: "file", tls: true, routes: { ...downloads, ...uploads } },
])("clients that go away, with $name", ({ transfer, tls, routes }) => {
  let berth: Berth;
  let site: Site;
  let http2: Http2Breaker | undefined;
  /** Of the API process. */
  let quiet: Record<string, number>;

  beforeAll(async () => {
    const stores = `stores: { default: { driver: filesystem, transfer: ${transfer} } }\n`;
    berth = await startBerth({ tls, config: openUploads + stores, args: ["--log-level", "warn"] });
    const [api] = serverProcesses(berth.pid, berth.port).api as [number];
    quiet = descriptors(api);
    if (tls) http2 = new Http2Breaker(berth.url, readFileSync(berth.ca, "utf8"));
    const breakOne = (request: BrokenRequest): Promise<void> =>
      http2?.breakOff(request) ?? breakOff(berth.port, request);
    site = await makeSite(berth, breakOne);
  });

  afterAll(async () => {
    await berth.stop();
  });

  test.each(Object.entries(routes))(`%s, ${aborts} times`, async (route, breakOne) => {
    const before = serverProcesses(berth.pid, berth.port);
    const [api] = before.api as [number];
    const run = async (count: number): Promise<void> => {
      const loop = async (own: Random, times: number): Promise<void> => {
        for (let i = 0; i < times; i++) await breakOne(site, own);
      };
      await Promise.all(Array.from({ length: atOnce }, () => loop(random.fork(), Math.ceil(count / atOnce))));
    };
    let peak = 0;
    const sampling = setInterval(() => {
      peak = Math.max(peak, ownMemory(api));
    }, 10);
    await run(aborts).finally(() => clearInterval(sampling));
    http2?.close();
    expect(peak).toBeLessThan(memory.busy);
    console.log(`aborts: ${route}: at most ${Math.round(peak / 10 ** 6)} MB`);

    await untilQuiet(api);
    expect(serverProcesses(berth.pid, berth.port)).toEqual(before);
    expect(faultsIn(berth.output())).toEqual([]);
    await until(() => stagedBytes(berth.data).size === 0 || undefined);
    // The runtime clears its garbage away when there is something to do.
    await until(
      async () => {
        await site.pusher.manifest("nothing");
        return ownMemory(api) < memory.idle || undefined;
      },
      10_000,
      () => `process ${api} keeps ${ownMemory(api)} bytes`,
    );
    expect(await site.pusher.blob(site.blob.digest)).toBe(site.blob.size);
  });

  test("no upload is left over", async () => {
    const started = await Promise.all(Array.from({ length: atOnce }, () => site.pusher.start()));
    await expect(site.pusher.start()).rejects.toThrow("TOOMANYREQUESTS");
    for (const { location } of started) await site.pusher.cancel(location);
  });

  /** Waits until a process has the descriptors that it had before any client came: none is lost with a client. */
  async function untilQuiet(pid: number): Promise<void> {
    await until(
      () => (Bun.deepEquals(descriptors(pid), quiet) ? true : undefined),
      10_000,
      () => `process ${pid} holds ${openFiles(pid).join(", ")}`,
    );
  }
});

/** How many descriptors a process has of each kind: a path, `socket` and so on. */
function descriptors(pid: number): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const file of openFiles(pid)) {
    const kind = file.replace(/:\[\d+\]$/, "");
    counts[kind] = (counts[kind] ?? 0) + 1;
  }
  return counts;
}

function trustOf({ url, ca }: Berth): { ca?: string } {
  return url.startsWith("https:") ? { ca: readFileSync(ca, "utf8") } : {};
}

/** A blob that no socket's buffer holds, and a listing that none does: 50,000 tags with long names. */
async function makeSite(berth: Berth, breakOne: Site["breakOff"]): Promise<Site> {
  const authorization = `Bearer ${await berth.token(`repository:${repository}:pull,push,delete`)}`;
  const pusher = new Pusher({ url: berth.url, repository, authorization, ...trustOf(berth) });
  const blob = makeContent(random, 24 << 20);
  await pusher.upload(blob.digest, contentBytes(blob));
  for (let i = 0; i < 500; i++) {
    const annotations = { number: String(i) };
    const document = { schemaVersion: 2, mediaType: mediaTypes.index, manifests: [], annotations };
    const bytes = Buffer.from(JSON.stringify(document));
    const tags = Array.from(
      { length: 100 },
      (_, tag) => `${String(i * 100 + tag).padStart(6, "0")}-${"tag".repeat(30)}`,
    );
    await pusher.putManifest(digestOf(bytes), { bytes, mediaType: mediaTypes.index }, tags);
  }
  const listing = (await (await berth.fetch(`/v2/${repository}/tags/list`)).bytes()).length;
  expect(listing).toBeGreaterThan(8_000_000);
  return { breakOff: breakOne, authorization, repository, pusher, blob, listing };
}
