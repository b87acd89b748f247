import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { isAlive, serverProcesses, type ServerProcesses } from "../faults/processes.ts";
import { type Berth, startBerth, until } from "../harness/berth.ts";
import { bearer, callerOf } from "../harness/caller.ts";
import { contentOf, noise } from "../harness/content.ts";
import { makeScratch, type Scratch } from "../harness/scratch.ts";

const repository = "my-project/processes";

let scratch: Scratch;
let berth: Berth;
beforeEach(() => {
  scratch = makeScratch();
});
afterEach(async () => {
  await berth.kill();
  await scratch.remove();
});

const start = async (...args: string[]): Promise<void> => {
  berth = await startBerth({ data: scratch.directory("data"), args });
};

const processes = (): ServerProcesses => serverProcesses(berth.pid, berth.port);

/** Waits until the server has as many children of each kind again, none of them one of `dead`. */
function whole(workers: number, dead: readonly number[]): Promise<ServerProcesses> {
  return until(
    () => {
      const now = processes();
      const isWhole = now.api.length === workers && now.background.length === 1;
      return isWhole && ![...now.api, ...now.background].some((pid) => dead.includes(pid)) ? now : undefined;
    },
    15_000,
    () => `the children did not come back: ${JSON.stringify(processes())}\n${berth.output().slice(-2000)}`,
  );
}

/** Pushes one blob after the other; a request that gets no reply is tried again, as clients do. */
class Pusher {
  readonly acknowledged: string[] = [];
  /** Requests that got no reply. */
  broken = 0;
  /** Replies other than 201. */
  readonly refused: number[] = [];
  #stopped = false;
  readonly #done: Promise<void>;

  constructor(name: string, authorization: string) {
    const caller = callerOf(berth, { authorization });
    this.#done = (async () => {
      for (let i = 0; !this.#stopped; i++) {
        const { bytes, digest } = contentOf(noise(`${name} ${i}`, 20_000));
        try {
          const path = `/v2/${repository}/blobs/uploads/?digest=${digest}`;
          const { status } = await caller.send("POST", path, { body: bytes });
          if (status === 201) this.acknowledged.push(digest);
          else this.refused.push(status);
        } catch {
          this.broken++;
          await Bun.sleep(5);
        }
      }
    })();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
  }
}

async function startPushing(clients: number): Promise<Pusher[]> {
  const authorization = bearer(await berth.token(`repository:${repository}:pull,push`));
  return Array.from({ length: clients }, (_, i) => new Pusher(`client ${i}`, authorization));
}

/** Waits until every client has had one more push acknowledged. */
async function allGoOn(pushers: readonly Pusher[]): Promise<void> {
  const before = pushers.map(({ acknowledged }) => acknowledged.length);
  await until(() => pushers.every(({ acknowledged }, i) => acknowledged.length > (before[i] as number)) || undefined);
}

async function expectKept(pushers: readonly Pusher[]): Promise<void> {
  const authorization = bearer(await berth.token(`repository:${repository}:pull`));
  for (const digest of pushers.flatMap(({ acknowledged }) => acknowledged)) {
    const reply = await callerOf(berth, { authorization }).send("GET", `/v2/${repository}/blobs/${digest}`);
    expect({ status: reply.status, digest: contentOf(reply.bytes).digest }).toEqual({ status: 200, digest });
  }
}

describe("a child that is killed is started again", () => {
  test("the process that answers: pushes go on, and none that was acknowledged is lost", async () => {
    await start();
    const pushers = await startPushing(8);
    const dead: number[] = [];
    for (let round = 0; round < 3; round++) {
      const [api] = (await whole(1, dead)).api as [number];
      await allGoOn(pushers);
      process.kill(api, "SIGKILL");
      dead.push(api);
    }
    await whole(1, dead);
    await allGoOn(pushers);
    for (const pusher of pushers) await pusher.stop();
    await expectKept(pushers);
    expect(pushers.flatMap(({ refused }) => refused)).toEqual([]);
    expect(isAlive(berth.pid)).toBe(true);
    expect(berth.output()).toContain('"message":"process died, starting it again"');
    expect(await berth.terminate()).toBe(0);
  });

  test("one of several: the others answer meanwhile", async () => {
    await start("--workers", "3");
    const before = processes();
    expect([before.api.length, before.background.length]).toEqual([3, 1]);
    const pushers = await startPushing(8);
    await allGoOn(pushers);
    const [victim] = before.api as [number];
    process.kill(victim, "SIGKILL");
    await allGoOn(pushers);
    await whole(3, [victim]);
    await allGoOn(pushers);
    for (const pusher of pushers) await pusher.stop();
    // At most what the dead process had on its way.
    expect(pushers.reduce((sum, { broken }) => sum + broken, 0)).toBeLessThanOrEqual(16);
    expect(pushers.flatMap(({ refused }) => refused)).toEqual([]);
    await expectKept(pushers);
    expect(processes().api).toEqual(expect.arrayContaining(before.api.filter((pid) => pid !== victim)));
    expect(await berth.terminate()).toBe(0);
  });

  test("the background process: no request notices", async () => {
    await start();
    const pushers = await startPushing(4);
    const before = processes();
    const [background] = before.background as [number];
    process.kill(background, "SIGKILL");
    expect((await whole(1, [background])).api).toEqual(before.api);
    await allGoOn(pushers);
    for (const pusher of pushers) await pusher.stop();
    expect(pushers.map(({ broken, refused }) => [broken, refused])).toEqual(pushers.map(() => [0, []]));
    expect(await berth.terminate()).toBe(0);
  });

  test("both at once, again and again, with reads of the metrics: the supervisor survives, and counts them all", async () => {
    await start();
    const dead: number[] = [];
    const scrapes: Promise<unknown>[] = [];
    for (let round = 0; round < 3; round++) {
      const { api, background } = await whole(1, dead);
      scrapes.push(fetch(`${berth.url}/metrics`).catch(() => undefined));
      for (const pid of [...api, ...background]) process.kill(pid, "SIGKILL");
      dead.push(...api, ...background);
    }
    await Promise.all(scrapes);
    await whole(1, dead);
    const text = await until(async () => {
      const answer = await fetch(`${berth.url}/metrics`).then((reply) => reply.text());
      return answer.includes("berth_process_up 3\n") ? answer : undefined;
    });
    expect(text).toContain("berth_unhandled_rejections_total 0\n");
    expect(await berth.terminate()).toBe(0);
  });
});

test("a process that dies with writes on their way to the supervisor does not take it along", async () => {
  await start("--workers", "2");
  const pushers = await startPushing(16);
  await allGoOn(pushers);
  const { api } = processes();
  // What is sent now waits for the supervisor, which finds the writes and the death of who sent them together.
  process.kill(berth.pid, "SIGSTOP");
  await writesWait(api).finally(() => {
    for (const pid of api) process.kill(pid, "SIGKILL");
    process.kill(berth.pid, "SIGCONT");
  });
  await whole(2, api);
  await allGoOn(pushers);
  for (const pusher of pushers) await pusher.stop();
  expect(isAlive(berth.pid)).toBe(true);
  await expectKept(pushers);
  expect(await berth.terminate()).toBe(0);
});

/** Resolves once each process has staged a blob that it cannot commit: its write is sent. */
async function writesWait(api: readonly number[]): Promise<void> {
  const staging = join(berth.data, "blobs/staging");
  await until(() => readdirSync(staging).length >= 8 * api.length || undefined);
}

test("a scrape is answered while a process waits for its next start", async () => {
  await start();
  const dead: number[] = [];
  for (let i = 0; i < 2; i++) {
    const [victim] = (await whole(1, dead)).background as [number];
    process.kill(victim, "SIGKILL");
    dead.push(victim);
  }
  await until(() => berth.output().split("process died").length > 2 || undefined);
  const reply = await fetch(`${berth.url}/metrics`, { signal: AbortSignal.timeout(5000) });
  expect(await reply.text()).toMatch(/^berth_process_up [23]$/m);
});

describe("SIGTERM ends the server at once and well, though a child", () => {
  /** Children by their deaths so far, each started again at once the first time and after a pause the second. */
  async function killed(times: number, kind: "api" | "background"): Promise<void> {
    const dead: number[] = [];
    for (let i = 0; i < times; i++) {
      const [victim] = (await whole(1, dead))[kind] as [number];
      process.kill(victim, "SIGKILL");
      dead.push(victim);
    }
    await until(() => berth.output().split("process died").length > times || undefined);
  }
  const deadline = 5000;

  test("has just died", async () => {
    await start();
    const { api, background } = processes();
    for (const pid of [...api, ...background]) process.kill(pid, "SIGKILL");
    expect(await berth.terminate()).toBe(0);
  });

  test.each(["api", "background"] as const)("is just starting again: %s", async (kind) => {
    await start();
    await killed(1, kind);
    const begun = performance.now();
    expect(await berth.terminate()).toBe(0);
    expect(performance.now() - begun).toBeLessThan(deadline);
  });

  test.each(["api", "background"] as const)("waits for its next start, having died twice: %s", async (kind) => {
    await start();
    await killed(2, kind);
    const code = await berth.terminate();
    expect({ code, output: berth.output() }).toEqual({
      code: 0,
      output: expect.not.stringMatching(/^berth: (?!listening|made|console|docker)/m),
    });
  });
});

test("a supervisor that is killed takes its children along; the next server starts on the same port at once", async () => {
  await start("--workers", "2");
  const pushers = await startPushing(4);
  await allGoOn(pushers);
  const { api, background } = processes();
  const { data, port } = berth;
  process.kill(berth.pid, "SIGKILL");
  await until(() => !isAlive(berth.pid) || undefined);
  // Not a moment later: a service manager does the same.
  berth = await startBerth({ data, port });
  expect([...api, ...background].filter(isAlive)).toEqual([]);
  await allGoOn(pushers);
  for (const pusher of pushers) await pusher.stop();
  await expectKept(pushers);
  expect(await berth.terminate()).toBe(0);
});
