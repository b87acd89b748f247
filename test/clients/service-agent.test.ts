import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import { type Berth, startBerth, until } from "../harness/berth.ts";
import { mustCall } from "../harness/federation.ts";
import { findPubSubEmulator, type PubSubEmulator, startPubSubEmulator } from "../harness/pubsub-emulator.ts";
import { pushBlob, pushManifest } from "../harness/registry.ts";
import { describeWith } from "../harness/require.ts";

setDefaultTimeout(60_000);

interface Policy {
  bindings: { role: string; members: string[] }[];
  etag: string;
}

const mediaType = "application/vnd.oci.image.manifest.v1+json";
// What an address without a name of Container Registry's stands for.
const name = "gcr.io/my-project/app";
const topic = "projects/my-project/topics/gcr";
const agentRole = "roles/containerregistry.ServiceAgent";

describeWith(findPubSubEmulator() === null ? ["pubsub-emulator"] : [], "the service agent tells the topic gcr", () => {
  let emulator: PubSubEmulator;
  let berth: Berth;
  let take: () => Promise<unknown[]>;
  let count = 0;

  const start = (data?: string): Promise<Berth> =>
    startBerth({
      config: `pubsub: { endpoint: "${emulator.url}" }\negress: { allow: ["127.0.0.1"] }\n`,
      ...(data !== undefined && { data }),
    });

  beforeAll(async () => {
    emulator = await startPubSubEmulator();
    berth = await start();
  });

  afterAll(async () => {
    await berth.stop();
    rmSync(berth.data, { recursive: true, force: true });
    await emulator.stop();
  });

  /** Pushes an image that is new; answers its digest. */
  const push = async (tag?: string): Promise<string> => {
    const config = await pushBlob(berth, "my-project/app", `{"n":${count++}}`, "application/octet-stream");
    return (await pushManifest(berth, "my-project/app", { mediaType, config, layers: [] }, tag)).digest;
  };
  const remove = async (reference: string): Promise<void> => {
    const reply = await berth.fetch(`/v2/my-project/app/manifests/${reference}`, { method: "DELETE" });
    expect(reply.status).toBe(202);
  };
  const messages = async (expected: number): Promise<unknown[]> => {
    const all: unknown[] = [];
    await until(
      async () => {
        all.push(...(await take()));
        return all.length >= expected || undefined;
      },
      20_000,
      () => `${all.length} of ${expected} messages came: ${JSON.stringify(all)}\n${berth.output().slice(-2000)}`,
    );
    return all;
  };
  const target = async () => {
    const path = "/berth/v1/projects/my-project/notificationTargets";
    const { targets } = await mustCall<{ targets: { name: string; state: string; reason?: string }[] }>(
      berth,
      "GET",
      path,
    );
    return targets.find((each) => each.name === topic);
  };
  const reaches = async (state: string, reason = ""): Promise<void> => {
    let last: { state: string; reason?: string } | undefined;
    const isReached = async (): Promise<true | undefined> => {
      last = await target();
      return (last?.state === state && (last.reason ?? "").includes(reason)) || undefined;
    };
    await until(isReached, 20_000, () => `${JSON.stringify(last)}\n${berth.output().slice(-2000)}`);
  };
  const changeAgent = async (change: (policy: Policy) => Policy["bindings"]): Promise<void> => {
    const policy = await mustCall<Policy>(berth, "POST", "/v1/projects/my-project:getIamPolicy", {});
    const bindings = change(policy);
    await mustCall(berth, "POST", "/v1/projects/my-project:setIamPolicy", { policy: { ...policy, bindings } });
  };

  test("nothing is sent where there is no topic, and that is said", async () => {
    await push("lost");
    await reaches("no-topic", "does not exist");
    await emulator.createTopic(topic);
    take = await emulator.subscribe(topic, "deploy");
  });

  test("pushes, retags and deletes, as Container Registry told of them", async () => {
    const tagged = await push("v1");
    const bare = await push();
    const moved = await push("v1");
    await remove("v1");
    await remove(bare);
    expect(await messages(5)).toEqual([
      { action: "INSERT", digest: `${name}@${tagged}`, tag: `${name}:v1` },
      { action: "INSERT", digest: `${name}@${bare}` },
      { action: "INSERT", digest: `${name}@${moved}`, tag: `${name}:v1` },
      { action: "DELETE", tag: `${name}:v1` },
      { action: "DELETE", digest: `${name}@${bare}` },
    ]);
    await reaches("ok");
  });

  test("stops without its role, says why, and goes on with it, where it stopped", async () => {
    let taken: Policy["bindings"] = [];
    await changeAgent(({ bindings }) => {
      taken = bindings.filter(({ role }) => role === agentRole);
      return bindings.filter(({ role }) => role !== agentRole);
    });
    expect(taken).toHaveLength(1);
    // Pushes go on: they run with the caller's rights.
    const held = await push("held");
    await reaches("stopped", `give it the role ${agentRole}`);
    expect(await take()).toEqual([]);
    const query = {
      resourceNames: ["projects/my-project"],
      filter: 'protoPayload.methodName="berth.notifications.publish"',
    };
    // Denials are written together, each five seconds.
    const entries = await until(async () => {
      const found = await mustCall<{ entries?: object[] }>(berth, "POST", "/v2/entries:list", query);
      return found.entries;
    }, 20_000);
    const denial = expect.objectContaining({ permission: "pubsub.topics.publish", granted: false }) as object;
    expect(entries[0]).toMatchObject({ severity: "ERROR", protoPayload: { authorizationInfo: [denial] } });
    await changeAgent(({ bindings }) => [...bindings, ...taken]);
    expect(await messages(1)).toEqual([{ action: "INSERT", digest: `${name}@${held}`, tag: `${name}:held` }]);
    await reaches("ok");
  });

  test("what was pushed before a kill is told after it", async () => {
    const { data } = berth;
    await emulator.stop();
    const late = await push("late");
    await reaches("failing");
    await berth.kill();
    emulator = await startPubSubEmulator();
    await emulator.createTopic(topic);
    take = await emulator.subscribe(topic, "deploy");
    berth = await start(data);
    expect(await messages(1)).toEqual([
      {
        action: "INSERT",
        digest: expect.stringContaining(late) as string,
        tag: expect.stringContaining(":late") as string,
      },
    ]);
  });
});
