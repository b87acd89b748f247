import { afterAll, afterEach, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, existsSync, readdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { type Berth, startBerth, until } from "../harness/berth.ts";
import { callerOf, errorsOf, expectReply } from "../harness/caller.ts";
import { contentOf, pushBlob } from "../harness/content.ts";
import { makeScratch, type Scratch } from "../harness/scratch.ts";
import { describeInstalled } from "../harness/suites.ts";
import { openMetadata } from "../harness/metadata.ts";

setDefaultTimeout(20_000);

let scratch: Scratch;
let berth: Berth;
beforeAll(() => {
  scratch = makeScratch();
});
afterEach(() => berth.stop());
afterAll(() => scratch.remove());

const probe = async (path: string, method = "GET"): Promise<[number, string]> => {
  const reply = await fetch(berth.url + path, { method });
  return [reply.status, await reply.text()];
};
const isReady: [number, string] = [200, "database: ok\nstore default: ok\n"];

test("the probes ask for no credential, tell no name, and answer HEAD; nothing else is a probe", async () => {
  berth = await startBerth();
  expect(await probe("/healthz")).toEqual([200, "ok\n"]);
  expect(await probe("/readyz")).toEqual(isReady);
  for (const path of ["/healthz", "/readyz", "/metrics"]) {
    expect(await probe(path, "HEAD")).toEqual([200, ""]);
    expect(await probe(path, "POST")).toEqual([404, expect.stringContaining("NOT_FOUND")]);
    expect((await probe(`${path}/`))[0]).toBe(404);
  }
  // The store's check leaves nothing behind.
  expect(readdirSync(join(berth.data, "blobs/staging"))).toEqual([]);
});

describeInstalled(["setpriv"], "a blob directory that cannot be written", () => {
  test("makes the server unready and pushes fail with a clear error; pulls go on; it recovers by itself", async () => {
    // Root writes everywhere, unless it gives up that privilege.
    const isRoot = process.getuid?.() === 0;
    const wrapper = isRoot ? ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] : [];
    berth = await startBerth({ data: scratch.directory("unwritable"), wrapper });
    const caller = callerOf(berth);
    const [kept, next] = [contentOf("pushed before"), contentOf("pushed after")];
    await pushBlob(caller, "my-project/a", kept);
    const staging = join(berth.data, "blobs/staging");
    chmodSync(staging, 0o500);
    expect(await probe("/readyz")).toEqual([503, "database: ok\nstore default: failed\n"]);
    expect(await probe("/healthz")).toEqual([200, "ok\n"]);
    const refused = await caller.send("POST", `/v2/my-project/a/blobs/uploads/?digest=${next.digest}`, {
      body: next.bytes,
    });
    expect([refused.status, errorsOf(refused)[0]?.code]).toEqual([500, "UNKNOWN"]);
    expect(refused.text).not.toContain(berth.data);
    expectReply(await caller.send("GET", `/v2/my-project/a/blobs/${kept.digest}`), { status: 200 });
    await until(() => /"message":"request failed"/.test(berth.output()) || undefined);
    expect(berth.output()).toMatch(/EACCES[^\n]*"message":"request failed"/);
    chmodSync(staging, 0o700);
    expect(await probe("/readyz")).toEqual(isReady);
    await pushBlob(caller, "my-project/a", next);
  });
});

test("each store is asked, and the one that fails is named", async () => {
  const stores = "{default: {driver: filesystem}, fast: {driver: filesystem}, slow: {driver: filesystem, path: tape}}";
  berth = await startBerth({ args: ["--stores", stores] });
  expect(await probe("/readyz")).toEqual([200, "database: ok\nstore default: ok\nstore fast: ok\nstore slow: ok\n"]);
  const tape = join(berth.data, "tape");
  renameSync(tape, `${tape}.away`);
  const [status, text] = await probe("/readyz");
  expect([status, text]).toEqual([503, "database: ok\nstore default: ok\nstore fast: ok\nstore slow: failed\n"]);
  renameSync(`${tape}.away`, tape);
  expect((await probe("/readyz"))[0]).toBe(200);
  expect(existsSync(join(berth.data, "stores/fast/staging"))).toBe(true);
});

test("a database that does not answer as it should makes the server unready, until it does again", async () => {
  berth = await startBerth();
  const change = (sql: string): void => {
    using database = openMetadata(berth.data);
    database.run(sql);
  };
  change("ALTER TABLE versions RENAME TO versions_away");
  expect(await probe("/readyz")).toEqual([503, "database: failed\nstore default: ok\n"]);
  expect(await probe("/healthz")).toEqual([200, "ok\n"]);
  const reply = await berth.fetch("/v2/my-project/a/tags/list");
  expect([reply.status, await reply.text()]).toEqual([500, expect.not.stringContaining("versions")]);
  change("ALTER TABLE versions_away RENAME TO versions");
  expect(await probe("/readyz")).toEqual(isReady);
  expect((await berth.fetch("/v2/")).status).toBe(200);
});
