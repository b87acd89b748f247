import { afterEach, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Berth, berthCommand, startBerth, until } from "../harness/berth.ts";
import { describeWith } from "../harness/require.ts";
import { run } from "../harness/tools.ts";
import { Clients, faultsIn } from "./clients.ts";
import { LossError } from "./ledger.ts";
import { PowerCutDisk } from "./power-cut.ts";
import { groupMembers } from "./processes.ts";
import { announcedSeed, countFrom, Random } from "./random.ts";
import { damagedFiles, untilStagingIsClean } from "./verify.ts";

/** 4 rounds in a short run; `BERTH_POWER_CUT_ROUNDS=24 npm test -- faults` for a long one. */
const rounds = countFrom("BERTH_POWER_CUT_ROUNDS", 4);
const random = new Random(announcedSeed("power cut"));
const load = { count: 4, largest: 2_000_000 };

describeWith(["gcc"], "power cuts", () => {
  let disk: PowerCutDisk;
  let berth: Berth | undefined;

  afterEach(async () => {
    await berth?.stop();
    berth = undefined;
    disk.remove();
  });

  /** A server on the disk. */
  async function start(options: { lies?: boolean } = {}): Promise<Berth> {
    berth = await startBerth({ data: dataOf(disk), args: ["--log-level", "warn"], env: disk.env(options) });
    return berth;
  }

  async function pullPlug(group: number): Promise<void> {
    process.kill(-group, "SIGKILL");
    // Nobody may still be writing when the journals are read.
    await until(() => groupMembers(group).length === 0 || undefined);
  }

  test("what a program synced is left, and what it did not is lost", async () => {
    disk = await PowerCutDisk.make();
    await run([process.execPath, join(import.meta.dir, "unsynced-writer.ts"), disk.path], { env: disk.env() });
    expect(disk.missed()).toEqual([]);
    disk.cut();
    expect(filesIn(disk.path)).toEqual({
      "kept/empty": "",
      "kept/half": "the first half",
      "kept/linked": "all of it",
      "kept/renamed": "all of it",
    });
  });

  test("of what was not synced, anything may be left", async () => {
    disk = await PowerCutDisk.make();
    const seen = new Map<string, Set<string>>();
    for (let i = 0; i < 20; i++) {
      await run([process.execPath, join(import.meta.dir, "unsynced-writer.ts"), disk.path], { env: disk.env() });
      disk.cut(random);
      const { "kept/renamed": renamed, ...unsure } = filesIn(disk.path);
      expect(renamed).toBe("all of it");
      expect(unsure["kept/half"]).toStartWith("the first half");
      for (const name of ["kept/empty", "kept/half", "kept/linked", "kept/nameless", "lost/file"])
        seen.set(name, (seen.get(name) ?? new Set()).add(unsure[name] ?? "absent"));
      for (const name of readdirSync(disk.path)) await run(["rm", "-r", join(disk.path, name)], { env: disk.env() });
      disk.cut(new Random(0));
    }
    for (const [name, states] of seen) expect([name, states.size > 1]).toEqual([name, true]);
  });

  test("the journal sees every way in which the server changes its data", async () => {
    disk = await PowerCutDisk.make("data");
    const clients = new Clients(random, load);
    const server = await start();
    await clients.prepare(server, random);
    await clients.workUntil(server, 200, async () => {});
    expect(await server.terminate()).toBe(0);
    expect(disk.missed()).toEqual([]);
  });

  const surviveRounds = async (): Promise<void> => {
    disk = await PowerCutDisk.make("data");
    const clients = new Clients(random, load);
    let server = await start();
    let doubts = 0;
    await clients.prepare(server, random);
    for (let i = 1; i <= rounds; i++) {
      await clients.workUntil(server, random.between(20, 500), async () => {
        await Bun.sleep(random.fraction() * 6);
        await pullPlug(server.pid);
      });
      expect(faultsIn(server.output())).toEqual([]);
      // By turns: all that was not synced is lost; any part of it is.
      disk.cut(i % 2 === 0 ? random : undefined);
      expect(await damagedFiles(dataOf(disk))).toEqual([]);
      server = await start();
      const findings = await clients.verify(server).catch((error: unknown) => {
        throw new Error(`after power cut ${i}: ${String(error)}`, { cause: error });
      });
      doubts += findings.doubts;
      await untilStagingIsClean(dataOf(disk), clients.ledgers);
    }
    await clients.finishUploads(server);
    await clients.verify(server);
    console.log(`power cut: ${rounds} cuts, ${clients.done} pushes and the like, ${doubts} requests cut off`);
  };
  test(`${rounds} cuts: what was acknowledged is there, and nothing by halves`, surviveRounds, 30_000 * rounds);

  const cutFirstStarts = async (): Promise<void> => {
    for (let i = 0; i < rounds; i++) {
      disk = await PowerCutDisk.make();
      const command = [...berthCommand(), "serve", "--data", dataOf(disk), "--listen", "127.0.0.1:0"];
      const env = { ...process.env, ...disk.env() };
      const child = Bun.spawn(command, { detached: true, env, stdio: ["ignore", "ignore", "ignore"] });
      await Bun.sleep(random.fraction() * 800);
      await pullPlug(child.pid);
      disk.cut(i % 2 === 0 ? random : undefined);
      const server = await start();
      expect(await server.token("repository:my-project/first:pull,push")).not.toBe("");
      await server.stop();
      if (i < rounds - 1) disk.remove();
    }
  };
  test("a power cut during the first start is repaired by the next", cutFirstStarts, 20_000 * rounds);

  test("a data directory that the server made itself is left", async () => {
    disk = await PowerCutDisk.make();
    const clients = new Clients(random, load);
    const server = await start();
    await clients.prepare(server, random);
    await pullPlug(server.pid);
    disk.cut();
    await clients.verify(await start());
  });

  test("this suite sees what a disk loses that only says it synced", async () => {
    disk = await PowerCutDisk.make("data");
    const clients = new Clients(random, load);
    let server = await start();
    await clients.prepare(server, random);
    await server.stop();
    disk.cut();
    server = await start({ lies: true });
    await clients.verify(server);
    await clients.workUntil(server, 300, () => pullPlug(server.pid));
    disk.cut();
    await expect(clients.verify(await start())).rejects.toThrow(LossError);
  });
});

function dataOf({ path }: PowerCutDisk): string {
  return join(path, "data");
}

/** The texts of all files below a directory. */
function filesIn(directory: string): Record<string, string> {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = files.map((entry) => join(entry.parentPath, entry.name)).sort();
  return Object.fromEntries(paths.map((path) => [path.slice(directory.length + 1), readFileSync(path, "utf8")]));
}
