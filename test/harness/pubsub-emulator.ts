import { dirname, join } from "node:path";
import { realpathSync } from "node:fs";
import { type Daemon, startDaemon } from "./daemon.ts";
import { freePort } from "./nginx.ts";
import { findProgram } from "./tools.ts";

/** Google's emulator of Cloud Pub/Sub. */
export interface PubSubEmulator {
  /** `http://127.0.0.1:PORT` */
  url: string;
  createTopic(topic: string): Promise<void>;
  /** Makes a subscription; answers how to take what has come to it since. */
  subscribe(topic: string, name: string): Promise<() => Promise<unknown[]>>;
  stop(): Promise<void>;
}

/** The program itself, beside gcloud: what `gcloud beta emulators pubsub start` runs. */
export function findPubSubEmulator(): string | null {
  const gcloud = findProgram("gcloud");
  if (gcloud === null) return null;
  return Bun.which(join(dirname(realpathSync(gcloud)), "../platform/pubsub-emulator/bin/cloud-pubsub-emulator"));
}

export async function startPubSubEmulator(): Promise<PubSubEmulator> {
  const port = freePort();
  const url = `http://127.0.0.1:${port}`;
  const program = findPubSubEmulator() as string;
  const daemon: Daemon = await startDaemon([program, "--host=127.0.0.1", `--port=${port}`], {
    ready: () =>
      fetch(url).then(
        ({ ok }) => ok,
        () => false,
      ),
  });
  const call = async (method: string, path: string, body: object): Promise<Record<string, unknown>> => {
    const headers = { "content-type": "application/json" };
    const reply = await fetch(`${url}/v1/${path}`, { method, body: JSON.stringify(body), headers });
    if (!reply.ok) throw new Error(`${method} ${path}: ${reply.status} ${await reply.text()}`);
    return (await reply.json()) as Record<string, unknown>;
  };
  return {
    url,
    async createTopic(topic) {
      await call("PUT", topic, {});
    },
    async subscribe(topic, name) {
      const subscription = topic.replace(/topics\/.*$/, `subscriptions/${name}`);
      await call("PUT", subscription, { topic, ackDeadlineSeconds: 10 });
      return async () => {
        const pull = { maxMessages: 1000, returnImmediately: true };
        const { receivedMessages = [] } = (await call("POST", `${subscription}:pull`, pull)) as {
          receivedMessages?: { ackId: string; message: { data: string } }[];
        };
        if (receivedMessages.length === 0) return [];
        await call("POST", `${subscription}:acknowledge`, { ackIds: receivedMessages.map(({ ackId }) => ackId) });
        return receivedMessages.map(
          ({ message }) => JSON.parse(Buffer.from(message.data, "base64").toString("utf8")) as unknown,
        );
      };
    },
    stop: () => daemon.stop(),
  };
}
