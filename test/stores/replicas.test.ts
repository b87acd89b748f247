import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeAccount } from "../harness/accounts.ts";
import { type Berth, berthCommand, until } from "../harness/berth.ts";
import { bind, bindingOf, unbind } from "../harness/bindings.ts";
import { basic, bearer, callerOf, expectReply } from "../harness/caller.ts";
import { contentOf, noise, pushImage } from "../harness/content.ts";
import { startHaproxy } from "../harness/haproxy.ts";
import type { PostgresServer } from "../harness/postgres.ts";
import { missingForReplicas, type Replicas, startReplicas } from "../harness/replicas.ts";
import { makeScratch } from "../harness/scratch.ts";
import { describeWith } from "../harness/require.ts";
import { run } from "../harness/tools.ts";

setDefaultTimeout(180_000);

const repository = "my-project/shared";

/** A topic's server that takes what it is sent, and keeps it. */
function startTopic() {
  const events: string[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const { messages } = (await request.json()) as { messages: { data: string }[] };
      events.push(...messages.map(({ data }) => Buffer.from(data, "base64").toString()));
      return Response.json({ messageIds: messages.map((_, i) => String(events.length + i)) });
    },
  });
  return { url: `http://127.0.0.1:${server.port}`, events, stop: () => server.stop(true) };
}

describeWith(missingForReplicas, "replicas", () => {
  const scratch = makeScratch();
  const topic = startTopic();
  let set: Replicas;
  let replicas: Berth[];
  let postgres: PostgresServer;
  beforeAll(async () => {
    set = await startReplicas(scratch, [
      `pubsub: { endpoint: "${topic.url}" }`,
      `egress: { allow: ["127.0.0.1"] }`,
      "shutdown-delay: 2",
    ]);
    ({ all: replicas, postgres } = set);
  });
  afterAll(async () => {
    await set.stop();
    await topic.stop();
    await scratch.remove();
  });

  const callers = () => replicas.map((each) => callerOf(each));

  test("an upload whose pieces go to one and the other", async () => {
    const [a, b, c] = callers() as [
      ReturnType<typeof callerOf>,
      ReturnType<typeof callerOf>,
      ReturnType<typeof callerOf>,
    ];
    const bytes = noise("pieces", 300_000);
    const { digest } = contentOf(bytes);
    let place = (await a.send("POST", `/v2/${repository}/blobs/uploads/`)).headers.get("location") as string;
    for (const [i, caller] of [b, a, c].entries()) {
      const piece = new Uint8Array(bytes.subarray(i * 100_000, (i + 1) * 100_000));
      const headers = { "content-range": `${i * 100_000}-${(i + 1) * 100_000 - 1}` };
      const reply = await caller.send("PATCH", place, { body: piece, headers });
      expectReply(reply, { status: 202 });
      place = reply.headers.get("location") as string;
    }
    expectReply(await b.send("PUT", `${place}?digest=${digest}`), { status: 201 });
    for (const caller of callers()) {
      const reply = await caller.send("GET", `/v2/${repository}/blobs/${digest}`);
      expect(Buffer.from(reply.bytes).equals(bytes)).toBe(true);
    }
  });

  test("a tag that is moved on one is seen at once on the others", async () => {
    for (let i = 0; i < 30; i++) {
      const all = callers();
      const pushed = await pushImage(all[i % 3] as never, repository, `moved-${i}`, "moved");
      for (const caller of all) {
        const seen = await caller.send("HEAD", `/v2/${repository}/manifests/moved`);
        expect(seen.headers.get("docker-content-digest")).toBe(pushed.digest);
      }
    }
  });

  test("a token made on one is used on another; a right, a key, an account that is taken away is gone everywhere", async () => {
    const [first, second, third] = replicas as [Berth, Berth, Berth];
    await pushImage(callerOf(first), repository, "guarded", "guarded");
    const robot = await makeAccount(first, "robot");
    const binding = bindingOf("roles/storage.objectViewer", robot.email);
    const path = `/v2/${repository}/manifests/guarded`;
    for (let round = 0; round < 3; round++) {
      await bind(first, "/v1/projects/my-project", binding);
      const authorization = basic(robot.key);
      const made = await callerOf(second, { authorization }).send(
        "GET",
        `/v2/token?scope=repository:${repository}:pull`,
      );
      const token = bearer((JSON.parse(made.text) as { token: string }).token);
      const statuses = async (): Promise<number[]> =>
        Promise.all(
          [first, second, third].map(
            async (each) => (await callerOf(each, { authorization: token }).send("GET", path)).status,
          ),
        );
      expect(await statuses()).toEqual([200, 200, 200]);
      await unbind(second, "/v1/projects/my-project", binding);
      expect(await statuses()).toEqual([403, 403, 403]);
    }
    await bind(first, "/v1/projects/my-project", binding);
    const disabled = await third.fetch(`/v1/projects/my-project/serviceAccounts/${robot.email}:disable`, {
      method: "POST",
    });
    expect(disabled.status).toBe(200);
    for (const each of replicas) {
      expect((await callerOf(each, { authorization: basic(robot.key) }).send("GET", path)).status).toBe(401);
    }
  });

  /** The replica that holds a lease, by what it logged last. */
  const holder = (name: string): number => {
    const states = replicas.map((each) => {
      const lines = each
        .output()
        .split("\n")
        .filter((line) => line.includes(`"lease":"${name}"`));
      return lines.at(-1)?.includes("taken on") === true;
    });
    return states.indexOf(true);
  };

  test("each event is told to the topic once, by one of them; who dies or stops is replaced within a minute", async () => {
    const told = (tag: string): number => topic.events.filter((event) => event.includes(`:${tag}"`)).length;
    const say = async (tag: string, through: number): Promise<void> => {
      await pushImage(callerOf(replicas[through] as Berth), repository, tag, tag);
      await until(() => told(tag) > 0 || undefined, 60_000);
    };
    for (const i of [0, 1, 2]) await say(`told-${i}`, i);

    const dead = holder("notifications");
    const other = (dead + 1) % 3;
    await (replicas[dead] as Berth).kill();
    const begun = performance.now();
    await say("after-death", other);
    expect(performance.now() - begun).toBeLessThan(60_000);
    await set.restart(dead);

    const zombie = holder("notifications");
    const frozen = replicas[zombie] as Berth;
    process.kill(-frozen.pid, "SIGSTOP");
    try {
      await say("after-freeze", (zombie + 1) % 3);
    } finally {
      process.kill(-frozen.pid, "SIGCONT");
    }
    await until(() => (frozen.output().includes("background work given up") ? true : undefined), 30_000);
    await say("after-thaw", zombie);
    for (const tag of ["told-0", "told-1", "told-2", "after-death", "after-freeze", "after-thaw"]) {
      expect([tag, told(tag)]).toEqual([tag, 1]);
    }
  });

  test("a rolling restart behind a load balancer: no client notices", async () => {
    const balancer = await startHaproxy(scratch, set.ports);
    const authFile = scratch.directory("docker");
    const auth = Buffer.from(`_json_key:${(replicas[0] as Berth).key}`).toString("base64");
    writeFileSync(join(authFile, "config.json"), JSON.stringify({ auths: { [balancer.host]: { auth } } }));
    const crane = (...args: string[]): Promise<string> => run(["crane", ...args], { env: { DOCKER_CONFIG: authFile } });
    const source = `${balancer.host}/my-project/rolling:v0`;
    await pushImage(callerOf(replicas[0] as Berth), "my-project/rolling", "rolling", "v0");
    const digest = (await crane("digest", source)).trim();
    let operations = 0;
    let going = true;
    const failures: unknown[] = [];
    const through = { ...(replicas[0] as Berth), url: `http://${balancer.host}` };
    const worker = async (n: number): Promise<void> => {
      for (let i = 0; going; i++) {
        try {
          if (n === 0) {
            const target = `${balancer.host}/my-project/rolling-copy:c${i}`;
            await crane("copy", "--insecure", source, target);
            expect((await crane("digest", target)).trim()).toBe(digest);
          } else {
            const tag = `w${n}-${i}`;
            const pushed = await pushImage(callerOf(through), `my-project/rolling-${n}`, tag, tag);
            const reply = await callerOf(through).send("GET", `/v2/my-project/rolling-${n}/manifests/${tag}`);
            expect([reply.status, contentOf(reply.bytes).digest]).toEqual([200, pushed.digest]);
          }
          operations++;
        } catch (error) {
          failures.push(error);
        }
      }
    };
    const workers = Promise.all([0, 1, 2, 3].map(worker));
    try {
      for (const i of [0, 1, 2]) {
        const before = operations;
        await until(() => operations > before + 10 || undefined, 30_000);
        expect(await (replicas[i] as Berth).terminate()).toBe(0);
        await set.restart(i);
      }
      const before = operations;
      await until(() => operations > before + 10 || undefined, 30_000);
    } finally {
      going = false;
      await workers;
      await balancer.stop();
    }
    expect(failures).toEqual([]);
    expect(operations).toBeGreaterThan(40);
  });

  test("who is locked out is let in while the servers run", async () => {
    const [first, second] = replicas as [Berth, Berth];
    const file = join(scratch.path, "recover.yaml");
    writeFileSync(file, set.config);
    await postgres.sql(
      "UPDATE policies SET bindings = '[]', etag = 'gone' WHERE resource LIKE '//cloudresourcemanager%'; UPDATE versions SET value = value + 1",
    );
    expect((await first.fetch("/v1/projects/my-project")).status).toBe(403);
    const member = "serviceAccount:owner@my-project.iam.gserviceaccount.com";
    const output = await run([...berthCommand(), "iam", "recover", "--config", file, "--member", member]);
    expect(output).toContain("gave serviceAccount:owner@my-project.iam.gserviceaccount.com roles/owner");
    for (const each of [first, second]) expect((await each.fetch("/v1/projects/my-project")).status).toBe(200);
  });

  test("a database that is killed, and one that is frozen, come back: what was acknowledged is there", async () => {
    const kept: { tag: string; digest: string }[] = [];
    let going = true;
    const worker = async (n: number): Promise<void> => {
      for (let i = 0; going; i++) {
        const caller = callerOf(replicas[n] as Berth);
        const tag = `k${n}-${i}`;
        // A refusal is what a client sees and tries again; a wrong answer is what must not be.
        await pushImage(caller, `my-project/kept-${n}`, tag, tag).then(
          ({ digest }) => kept.push({ tag, digest }),
          () => undefined,
        );
      }
    };
    const workers = Promise.all([0, 1, 2].map(worker));
    const more = async (): Promise<void> => {
      const before = kept.length;
      await until(() => kept.length > before + 10 || undefined, 60_000);
    };
    try {
      await more();
      await postgres.kill();
      await postgres.start();
      await more();
      await postgres.freeze();
      await Bun.sleep(5000);
      await postgres.thaw();
      await more();
    } finally {
      going = false;
      await workers;
    }
    for (const [i, { tag, digest }] of kept.entries()) {
      const n = tag[1] as string;
      const reply = await (callers()[i % 3] as ReturnType<typeof callerOf>).send(
        "HEAD",
        `/v2/my-project/kept-${n}/manifests/${tag}`,
      );
      expect([tag, reply.headers.get("docker-content-digest")]).toEqual([tag, digest]);
    }
  });
});
