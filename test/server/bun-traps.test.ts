import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { groupMembers, serverProcesses } from "../faults/processes.ts";
import { type Berth, startBerth, until } from "../harness/berth.ts";
import { callerOf, expectReply } from "../harness/caller.ts";
import { contentOf, imageOf, noise, pushBlob, putManifest } from "../harness/content.ts";
import { makeScratch, type Scratch } from "../harness/scratch.ts";
import { describeInstalled } from "../harness/suites.ts";

setDefaultTimeout(30_000);

const repository = "my-project/traps";

let scratch: Scratch;
let berth: Berth;
beforeAll(() => {
  scratch = makeScratch();
});
afterEach(() => berth.stop());
afterAll(() => scratch.remove());

test("a promise that nobody awaited ends no process: it is logged and counted", async () => {
  const home = scratch.directory("floating");
  const [program, trigger] = [join(home, "reject.ts"), join(home, "now")];
  // Runs in each of the server's processes, before its own program.
  writeFileSync(
    program,
    `import { existsSync, rmSync } from "node:fs";
     const trigger = ${JSON.stringify(trigger)} + "-" + (process.env.BERTH_CHILD ?? "") + process.pid;
     setInterval(() => {
       if (!existsSync(trigger)) return;
       rmSync(trigger);
       void Promise.reject(new Error("nobody awaits this"));
     }, 20).unref();`,
  );
  berth = await startBerth({ env: { BUN_OPTIONS: `--preload=${program}` } });
  const before = serverProcesses(berth.pid, berth.port);
  writeFileSync(`${trigger}-${berth.pid}`, "");
  for (const pid of [...before.api, ...before.background]) writeFileSync(`${trigger}-1${pid}`, "");
  await until(() => berth.output().split('"message":"unhandled rejection"').length === 4 || undefined);
  for (const name of ["supervisor", "api-0", "background"]) {
    expect(berth.output()).toMatch(new RegExp(`"process":"${name}","error":"nobody awaits this"`));
  }
  expect(serverProcesses(berth.pid, berth.port)).toEqual(before);
  const metrics = await (await fetch(`${berth.url}/metrics`)).text();
  expect(metrics).toContain("berth_unhandled_rejections_total 3\n");
  await pushBlob(callerOf(berth), repository, contentOf("after it"));
  expect(await berth.terminate()).toBe(0);
});

test("a request that is worked on for longer than the idle limit is not cut off", async () => {
  berth = await startBerth({ args: ["--idle-timeout", "5"] });
  const caller = callerOf(berth);
  const { config, layers, document } = imageOf("worked on");
  for (const blob of [config, ...layers]) await pushBlob(caller, repository, blob);
  const content = contentOf(noise("worked on", 100_000));
  const begin = async (): Promise<string> =>
    (await caller.send("POST", `/v2/${repository}/blobs/uploads/`)).headers.get("location") as string;
  const [closed, patched, asked] = [await begin(), await begin(), await begin()];
  // The disk takes its time, as it seems to those who wait for the process that writes.
  process.kill(berth.pid, "SIGSTOP");
  const replies = [
    caller.send("POST", `/v2/${repository}/blobs/uploads/?digest=${content.digest}`, { body: content.bytes }),
    caller.send("PUT", `${closed}?digest=${contentOf("end").digest}`, { body: "end" }),
    caller.send("PATCH", patched, { body: "part" }),
    caller.send("GET", asked),
    putManifest(caller, repository, "v1", document),
    caller.send("POST", `/v2/${repository}/blobs/uploads/`),
  ].map((reply) => reply.then(({ status }) => status, String));
  // A connection that is younger than all of these and was dropped for its silence tells that the limit has passed.
  const silent = connect({ host: "127.0.0.1", port: berth.port });
  silent.write("GET /healthz HTTP/1.1\r\n");
  await new Promise((resolve) => silent.on("close", resolve).on("error", () => {}));
  process.kill(berth.pid, "SIGCONT");
  expect(await Promise.all(replies)).toEqual([201, 201, 202, 204, 201, 202]);
});

describe("the names of files on the server's disk", () => {
  test("are in no reply", async () => {
    berth = await startBerth();
    const caller = callerOf(berth);
    for (const size of [3_000_000, 1000]) {
      const blob = contentOf(noise("named", size));
      await pushBlob(caller, repository, blob);
      const stored = fileOf(berth, blob.digest);
      const generation = stored.slice(stored.lastIndexOf(".") + 1);
      expect(generation.length).toBeGreaterThan(8);
      const requests = [
        caller.send("GET", `/v2/${repository}/blobs/${blob.digest}`),
        caller.send("HEAD", `/v2/${repository}/blobs/${blob.digest}`),
        caller.send("GET", `/v2/${repository}/blobs/${blob.digest}`, { headers: { range: "bytes=1-9" } }),
      ];
      for (const { headers } of await Promise.all(requests)) {
        const text = [...headers].map((pair) => pair.join(": ")).join("\n");
        expect(text).not.toContain(generation);
        expect(text).not.toContain(berth.data);
        expect(headers.get("content-disposition")).toBe("attachment");
      }
    }
  });
});

test.each(["file", "stream"])(
  "a blob whose file is lost is a clear error, and in the log: transfer %s",
  async (transfer) => {
    berth = await startBerth({ args: ["--stores", `{default: {driver: filesystem, transfer: ${transfer}}}`] });
    const caller = callerOf(berth);
    const blob = contentOf(noise("lost", 3_000_000));
    await pushBlob(caller, repository, blob);
    rmSync(fileOf(berth, blob.digest));
    for (const headers of [{}, { range: "bytes=5-9" }] as Record<string, string>[]) {
      const reply = await caller.send("GET", `/v2/${repository}/blobs/${blob.digest}`, { headers });
      expectReply(reply, { status: 500, code: "BYTES_MISSING" });
      const id = reply.headers.get("x-request-id") as string;
      await until(
        () =>
          new RegExp(`"level":50.*"requestId":"${id}".*MissingBytesError|no bytes`).test(berth.output()) || undefined,
      );
    }
  },
);

describeInstalled(["strace"], "what is acknowledged is on the disk, its name included", () => {
  test("the directories of a blob are synced after its name is in them and before the reply", async () => {
    const trace = join(scratch.directory("trace"), "calls");
    const calls = "trace=link,linkat,rename,renameat,renameat2,fsync,fdatasync,sendto,write,writev,sendmsg";
    // -f: all processes and threads; -y: descriptors with their paths; -ttt: lines of all of them in one order.
    berth = await startBerth({ wrapper: ["strace", "-f", "-y", "-ttt", "-s", "60", "-e", calls, "-o", trace] });
    const blob = contentOf(noise("traced", 50_000));
    await pushBlob(callerOf(berth), repository, blob);
    // strace keeps signals to itself.
    const [supervisor] = serverProcesses(berth.pid, berth.port).background as [number];
    process.kill(supervisor, "SIGTERM");
    await until(() => groupMembers(berth.pid).length === 0 || undefined);
    const hex = blob.digest.slice(7);
    const lines = readFileSync(trace, "utf8").split("\n");
    const at = (pattern: RegExp, from = 0): number => {
      const found = lines.findIndex((line, index) => index >= from && pattern.test(line));
      if (found < 0) throw new Error(`no ${String(pattern)} after line ${from} of\n${lines.join("\n").slice(-8000)}`);
      return found;
    };
    const bytes = at(/f(data)?sync\(\d+<[^>]*\/staging\/[^>]+>/);
    const named = at(new RegExp(`link(at)?\\(.*sha256-${hex}`), bytes);
    const directory = at(new RegExp(`fsync\\(\\d+<[^>]*/blobs/sha256/${hex.slice(0, 2)}>`), named);
    const row = at(/f(data)?sync\(\d+<[^>]*\/berth\.db-wal>/, directory);
    at(/HTTP\/1\.1 201 Created/, row);
    // The shard is new: its own name was synced in the directory above it.
    expect(at(/fsync\(\d+<[^>]*\/blobs\/sha256>/)).toBeLessThan(row);
    expect(lines.findIndex((line) => line.includes("HTTP/1.1 201 Created"))).toBeGreaterThan(row);
  });
});

/** The file that holds a blob. */
function fileOf({ data }: Berth, digest: string): string {
  const blobs = join(data, "blobs/blobs");
  const hex = digest.slice(digest.indexOf(":") + 1);
  return join(
    blobs,
    readdirSync(blobs, { recursive: true, encoding: "utf8" }).find((name) => name.includes(hex)) as string,
  );
}
