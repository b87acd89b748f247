import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Berth, berthCommand, startBerth, until } from "../harness/berth.ts";
import { Clients, faultsIn, pusherFor } from "./clients.ts";
import { LossError } from "./ledger.ts";
import { groupMembers, isAlive, serverProcesses } from "./processes.ts";
import { announcedSeed, countFrom, Random } from "./random.ts";
import { damagedFiles, storedFiles, untilStagingIsClean } from "./verify.ts";

/** 8 rounds in a short run; `BERTH_CRASH_ROUNDS=60 npm test -- faults` for a long one. */
const rounds = countFrom("BERTH_CRASH_ROUNDS", 8);
const random = new Random(announcedSeed("crash"));
const args = ["--workers", "2", "--log-level", "warn"];

/** What is killed; a server that lost its supervisor, or all its processes, is started again on its data. */
const targets = ["group", "group", "supervisor", "api", "api", "background"] as const;

describe("killed at random moments", () => {
  let data: string;
  let berth: Berth;
  const clients = new Clients(random, { count: 4, largest: 4_000_000 });
  const killed: Record<string, number> = {};
  const found = { manifests: 0, tags: 0, blobs: 0, uploads: 0, doubts: 0 };

  beforeAll(async () => {
    data = mkdtempSync(join(tmpdir(), "berth-crash-"));
    berth = await startBerth({ data, args });
    await clients.prepare(berth, random);
  });

  afterAll(async () => {
    await berth.stop();
    rmSync(data, { recursive: true, force: true });
    console.log(`crash: ${clients.done} pushes and the like; killed ${JSON.stringify(killed)}`);
    console.log(`crash: looked at ${JSON.stringify(found)}`);
  });

  const surviveRounds = async (): Promise<void> => {
    for (let i = 1; i <= rounds; i++) {
      const target = random.pick(targets);
      killed[target] = (killed[target] ?? 0) + 1;
      await survive(target).catch((error: unknown) => {
        throw new Error(`round ${i}, in which ${target} was killed, failed: ${String(error)}`, { cause: error });
      });
    }
  };
  test(`${rounds} rounds: what was acknowledged is there, and nothing by halves`, surviveRounds, 30_000 * rounds);

  async function survive(target: (typeof targets)[number]): Promise<void> {
    // The moment is anywhere in the work, and up to some ms away from where the client sees it.
    await clients.workUntil(berth, random.between(20, 600), async () => {
      await Bun.sleep(random.fraction() * 6);
      await kill(target);
    });
    expect(faultsIn(berth.output())).toEqual([]);
    const restarted = target === "group" || target === "supervisor";
    if (restarted) berth = await startBerth({ data, args });
    const findings = await clients.verify(berth);
    for (const key of Object.keys(found) as (keyof typeof found)[]) found[key] += findings[key];
    expect(await damagedFiles(data)).toEqual([]);
    // What a lone API process left is cleared away with the next start, or an hour later.
    if (restarted) await untilStagingIsClean(data, clients.ledgers);
  }

  async function kill(target: (typeof targets)[number]): Promise<void> {
    const before = serverProcesses(berth.pid, berth.port);
    if (target === "group") {
      await berth.kill();
    } else if (target === "supervisor") {
      const children = [...before.api, ...before.background];
      process.kill(berth.pid, "SIGKILL");
      await until(() => !isAlive(berth.pid) || undefined);
      // They hold no lock: nothing may depend on their being gone before the next start.
      if (random.chance(0.5)) await until(() => !children.some(isAlive) || undefined);
    } else {
      const [victim] = before[target] as [number];
      process.kill(victim, "SIGKILL");
      await until(() => {
        const now = serverProcesses(berth.pid, berth.port);
        return (now[target].length === before[target].length && !now[target].includes(victim)) || undefined;
      });
    }
  }

  test("every upload that was cut off can be finished", async () => {
    const resumed = await clients.finishUploads(berth);
    await clients.verify(berth);
    await berth.stop();
    berth = await startBerth({ data, args });
    await untilStagingIsClean(data, clients.ledgers);
    console.log(`crash: ${resumed} uploads that were left open were finished`);
  });

  test("this suite sees a tag that is gone, and a blob that lost a byte", async () => {
    const [, ledger] = clients.ledgers as [unknown, (typeof clients.ledgers)[number]];
    const [[tag]] = ledger.presentTags() as [[string, string]];
    await (await pusherFor(berth, ledger)).removeManifest(tag);
    await expect(clients.verify(berth)).rejects.toThrow(LossError);
    await expect(clients.verify(berth)).rejects.toThrow(`tag ${tag} is undefined`);
    ledger.tags.delete(tag);

    const [path] = storedFiles(data).filter((each) => statSync(each).size > 100_000) as [string];
    truncateSync(path, statSync(path).size - 1);
    expect(await damagedFiles(data)).toEqual([path]);
    await expect(clients.verify(berth)).rejects.toThrow();
  });
});

const killFirstStarts = async (): Promise<void> => {
  for (let i = 0; i < Math.ceil(rounds / 2); i++) {
    const scratch = mkdtempSync(join(tmpdir(), "berth-crash-"));
    const data = join(scratch, "new");
    try {
      const command = [...berthCommand(), "serve", "--data", data, "--listen", "127.0.0.1:0"];
      const child = Bun.spawn(command, { detached: true, stdio: ["ignore", "ignore", "ignore"] });
      await Bun.sleep(random.fraction() * 500);
      process.kill(-child.pid, "SIGKILL");
      await child.exited;
      await until(() => groupMembers(child.pid).length === 0 || undefined);
      const berth = await startBerth({ data });
      try {
        expect(await berth.token("repository:my-project/first:pull,push")).not.toBe("");
      } finally {
        await berth.stop();
      }
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  }
};
test("a first start that is killed at any moment is repaired by the next", killFirstStarts, 10_000 * rounds);
