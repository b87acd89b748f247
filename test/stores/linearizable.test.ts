import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { callerOf } from "../harness/caller.ts";
import { contentOf, imageOf, pushImage, putManifest } from "../harness/content.ts";
import type { ManifestDocument } from "../harness/image-layout.ts";
import { isLinearizable, type Operation } from "../harness/linearizable.ts";
import { missingForReplicas, type Replicas, startReplicas } from "../harness/replicas.ts";
import { describeWith } from "../harness/require.ts";
import { makeScratch } from "../harness/scratch.ts";
import type { Berth } from "../harness/berth.ts";

/** For a long run: `BERTH_TEST_MINUTES=30 bun test test/stores/linearizable.test.ts`. */
const minutes = Number(process.env.BERTH_TEST_MINUTES ?? 0.3);

setDefaultTimeout(minutes * 60_000 + 120_000);

describe("the checker", () => {
  const done = (kind: Operation["kind"], value: Operation["value"], called: number, returned: number): Operation => ({
    called,
    returned,
    kind,
    value,
  });
  test.each<[string, boolean, Operation[]]>([
    ["nothing", true, []],
    ["a read of what was never there", false, [done("read", "a", 0, 1)]],
    [
      "a read of the old after the new",
      false,
      [done("write", "a", 0, 1), done("write", "b", 2, 3), done("read", "a", 4, 5)],
    ],
    [
      "a read of either while it is written",
      true,
      [done("write", "a", 0, 1), done("write", "b", 2, 5), done("read", "a", 3, 4), done("read", "b", 3, 4)],
    ],
    [
      "the new, then the old, while it is written",
      false,
      [done("write", "a", 0, 1), done("write", "b", 2, 9), done("read", "b", 3, 4), done("read", "a", 5, 6)],
    ],
    ["a write that nobody knows of, seen", true, [done("write", "a", 0, Infinity), done("read", "a", 5, 6)]],
    ["a write that nobody knows of, not seen", true, [done("write", "a", 0, Infinity), done("read", null, 5, 6)]],
    [
      "a write that came and went",
      false,
      [done("write", "a", 0, Infinity), done("read", "a", 5, 6), done("read", null, 7, 8)],
    ],
    ["two deletes of one", false, [done("write", "a", 0, 1), done("delete", true, 2, 5), done("delete", true, 3, 6)]],
    [
      "a delete that found nothing, and one that found it",
      true,
      [done("write", "a", 0, 1), done("delete", true, 2, 5), done("delete", false, 3, 6)],
    ],
    ["a lost write", false, [done("write", "a", 0, 1), done("read", null, 2, 3)]],
  ])("%s", (_, expected, operations) => {
    expect(isLinearizable(operations)).toBe(expected);
  });
});

describeWith(missingForReplicas, "tags, through three replicas", () => {
  const scratch = makeScratch();
  let set: Replicas;
  beforeAll(async () => {
    set = await startReplicas(scratch);
  });
  afterAll(async () => {
    await set.stop();
    await scratch.remove();
  });

  const repository = "my-project/history";
  let written = 0;

  /** One operation on a tag through one replica; `undefined` for a read that came to nothing. */
  async function operate(berth: Berth, tag: string): Promise<Operation | undefined> {
    const dice = Math.random();
    const kind = dice < 0.35 ? "write" : dice < 0.5 ? "delete" : "read";
    const document = { ...imageOf("history").document, annotations: { n: String(written++) } };
    const called = performance.now();
    const { status, headers } = await send(berth, kind, tag, document);
    const returned = performance.now();
    if (kind === "write") {
      const value = contentOf(JSON.stringify(document)).digest;
      return { called, returned: status === 201 ? returned : Infinity, kind, value };
    }
    if (kind === "delete") {
      return { called, returned: [202, 404].includes(status) ? returned : Infinity, kind, value: status === 202 };
    }
    if (status === 200) return { called, returned, kind, value: headers.get("docker-content-digest") };
    return status === 404 ? { called, returned, kind, value: null } : undefined;
  }

  async function send(
    berth: Berth,
    kind: Operation["kind"],
    tag: string,
    document: ManifestDocument,
  ): Promise<{ status: number; headers: Headers }> {
    const caller = callerOf(berth);
    try {
      if (kind === "write") return await putManifest(caller, repository, tag, document);
      return await caller.send(kind === "delete" ? "DELETE" : "HEAD", `/v2/${repository}/manifests/${tag}`);
    } catch {
      // The connection broke: nobody knows.
      return { status: 0, headers: new Headers() };
    }
  }

  /** What happens to the machines meanwhile. */
  const faults: Record<string, () => Promise<void>> = {
    nothing: () => Bun.sleep(500),
    "the database is killed": async () => {
      await set.postgres.kill();
      await set.postgres.start();
    },
    "the database is frozen": async () => {
      await set.postgres.freeze();
      await Bun.sleep(2000);
      await set.postgres.thaw();
    },
    "a server is killed": async () => {
      await (set.all[1] as Berth).kill();
      await set.restart(1);
    },
    "a server is frozen": async () => {
      const { pid } = set.all[2] as Berth;
      process.kill(-pid, "SIGSTOP");
      await Bun.sleep(2000);
      process.kill(-pid, "SIGCONT");
    },
  };

  test("are one register each, whatever happens to servers and database", async () => {
    await pushImage(callerOf(set.all[0] as Berth), repository, "history", "first");
    const end = performance.now() + minutes * 60_000;
    let operations = 0;
    let unknown = 0;
    const rounds: Record<string, number> = {};
    for (let round = 0; performance.now() < end; round++) {
      const names = Object.keys(faults);
      const name = names[round % names.length] as string;
      const tags = [0, 1, 2, 3].map((i) => `t${round}-${i}`);
      const histories = new Map(tags.map((tag) => [tag, [] as Operation[]]));
      let going = true;
      const worker = async (n: number): Promise<void> => {
        // Enough for the checker, which looks at all orders, and for the whole of the fault.
        for (let i = 0; going || i < 10; i++) {
          const tag = tags[(i + n) % tags.length] as string;
          const history = histories.get(tag) as Operation[];
          const operation = await operate(set.all[(n + i) % 3] as Berth, tag);
          if (operation !== undefined) history.push(operation);
          await Bun.sleep(Math.random() * 20);
        }
      };
      const workers = Promise.all([0, 1, 2, 3, 4, 5].map(worker));
      await (faults[name] as () => Promise<void>)();
      going = false;
      await workers;
      for (const [tag, history] of histories) {
        const isGood = isLinearizable(history);
        if (!isGood) console.error(name, tag, JSON.stringify(history));
        expect([name, tag, isGood]).toEqual([name, tag, true]);
        operations += history.length;
        unknown += history.filter(({ returned }) => returned === Infinity).length;
      }
      rounds[name] = (rounds[name] ?? 0) + 1;
    }
    console.log(`${operations} operations, ${unknown} of unknown end, rounds: ${JSON.stringify(rounds)}`);
    expect(operations).toBeGreaterThan(100);
  });
});
