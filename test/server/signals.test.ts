import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { groupMembers } from "../faults/processes.ts";
import { type Berth, startBerth, until } from "../harness/berth.ts";
import { basic, callerOf } from "../harness/caller.ts";
import { contentOf, noise, pushBlob } from "../harness/content.ts";
import { makeScratch, type Scratch } from "../harness/scratch.ts";
import { serve } from "./serve-process.ts";
import { beginDownload } from "./slow-download.ts";

setDefaultTimeout(30_000);

const repository = "my-project/signals";
/** More than the system keeps on the way of a client that does not read. */
const blob = contentOf(noise("signals", 48 * 2 ** 20));

let scratch: Scratch;
beforeAll(() => {
  scratch = makeScratch();
});
afterAll(() => scratch.remove());

describe("a download that runs while the server is told to stop", () => {
  let berth: Berth;
  afterEach(() => berth.stop());

  test.each([
    ["sent by the kernel", false, "file"],
    ["streamed", false, "stream"],
    ["over TLS", true, "file"],
  ] as const)("%s: is sent to its end, then the server exits with 0", async (_, tls, transfer) => {
    berth = await startBerth({ tls, args: ["--stores", `{default: {driver: filesystem, transfer: ${transfer}}}`] });
    await pushBlob(callerOf(berth), repository, blob);
    const download = await beginDownload(berth, repository, blob);
    const ended = berth.terminate();
    await until(async () => (await isRefusing(berth.url)) || undefined);
    expect(download.received()).toBeLessThan(blob.size);
    expect(await download.finish()).toBe(blob.digest);
    expect(await ended).toBe(0);
    expect(groupMembers(berth.pid)).toEqual([]);
  });

  test("whose client has stopped reading: is cut off after --shutdown-timeout, and the server exits with 0", async () => {
    berth = await startBerth({ args: ["--shutdown-timeout", "1"] });
    await pushBlob(callerOf(berth), repository, blob);
    const download = await beginDownload(berth, repository, blob);
    const begun = performance.now();
    expect(await berth.terminate()).toBe(0);
    expect(performance.now() - begun).toBeGreaterThan(900);
    expect(performance.now() - begun).toBeLessThan(8000);
    expect(groupMembers(berth.pid)).toEqual([]);
    expect(await download.finish()).toBeUndefined();
    expect(download.received()).toBeLessThan(blob.size);
  });

  test("Ctrl-C, which the terminal sends to every process: the same", async () => {
    berth = await startBerth();
    await pushBlob(callerOf(berth), repository, blob);
    const download = await beginDownload(berth, repository, blob);
    process.kill(-berth.pid, "SIGINT");
    await until(async () => (await isRefusing(berth.url)) || undefined);
    // Once more, as impatient people do: it still ends well.
    process.kill(-berth.pid, "SIGINT");
    expect(await download.finish()).toBe(blob.digest);
    expect(await berth.terminate()).toBe(0);
    expect(groupMembers(berth.pid)).toEqual([]);
    expect(berth.output()).toContain('"signal":"SIGINT","message":"stopping"');
    expect(berth.output()).toContain('"message":"stopped"');
  });
});

/** What the first start makes, one after the other. */
const made = ["lock.db", "berth.db", "berth.db-wal", "admin-key.json", "blobs/staging"];

test.each(made)(
  "a signal during the start, when %s is there: it ends, and the next start is a good one",
  async (name) => {
    const data = scratch.directory("early");
    const server = serve(["--data", data, "--listen", "127.0.0.1:0"]);
    // Not each 20 ms: the start is a matter of a few of these.
    while (!existsSync(join(data, name))) await Bun.sleep(1);
    server.signal("SIGTERM");
    expect([0, 143]).toContain(await server.exited);
    expect(server.output()).not.toMatch(/^\s+at /m);
    const next = serve(["--data", data, "--listen", "127.0.0.1:0"]);
    const url = new URL("/v2/", await next.address());
    const authorization = basic(readFileSync(join(data, "admin-key.json"), "utf8"));
    expect((await fetch(url, { headers: { authorization } })).status).toBe(200);
    expect(await next.stop()).toBe(0);
  },
);

test.each(["data directory", "port"])("of two servers that start at once on one %s, one is refused", async (what) => {
  const directory = scratch.directory("both");
  const free = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = free;
  free.stop(true);
  const starts = ["a", "b"].map((name) =>
    what === "port"
      ? serve(["--data", `${directory}/${name}`, "--listen", `127.0.0.1:${port}`])
      : serve(["--data", directory, "--listen", "127.0.0.1:0"]),
  );
  const outcomes = await Promise.all(
    starts.map(async (server) => {
      const up = await server.address().then(
        () => true,
        () => false,
      );
      return { up, code: up ? undefined : await server.exited };
    }),
  );
  const codes = await Promise.all(starts.map((server, i) => (outcomes[i]?.up ? server.stop() : server.exited)));
  expect(outcomes.filter(({ up }) => up)).toHaveLength(1);
  expect(codes.sort()).toEqual([0, 1]);
  expect(starts.map((server) => server.output()).join("")).toMatch(/^berth: another /m);
});

async function isRefusing(url: string): Promise<boolean> {
  return fetch(`${url}/healthz`, { keepalive: false, tls: { rejectUnauthorized: false } }).then(
    () => false,
    () => true,
  );
}
