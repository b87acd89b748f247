import type { Egress } from "../egress/egress.ts";
import type { ProjectId } from "../names/reference.ts";
import type { GcrMessage } from "./gcr-message.ts";

const maxReply = 64 * 1024;
const patience = 30_000;

/** `retry`: not now; the reason says why, and is fit to be shown. */
export type Published = { result: "ok" } | { result: "no-topic" } | { result: "retry"; reason: string };

/** The topic on which Container Registry told of a project's images. */
export function gcrTopic(project: ProjectId): string {
  return `projects/${project}/topics/gcr`;
}

/** Publishing to Pub/Sub, or to what speaks its REST API. [Cloud Pub/Sub API v1, projects.topics.publish] */
export class PubSub {
  readonly #egress: Egress;
  readonly #endpoint: string;

  /** @param endpoint such as `https://pubsub.googleapis.com` */
  constructor(egress: Egress, endpoint: string) {
    this.#egress = egress;
    this.#endpoint = endpoint.replace(/\/$/, "");
  }

  /** Publishes messages in their order. */
  async publish(project: ProjectId, messages: readonly GcrMessage[]): Promise<Published> {
    const body = JSON.stringify({ messages: messages.map(envelope) });
    let status: number;
    try {
      const reply = await this.#egress.fetch(`${this.#endpoint}/v1/${gcrTopic(project)}:publish`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body,
        maxBytes: maxReply,
        timeout: patience,
        maxRedirects: 0,
      });
      status = reply.status;
    } catch (error) {
      return { result: "retry", reason: error instanceof Error ? error.message : "the request failed" };
    }
    if (status === 404) return { result: "no-topic" };
    return status === 200 ? { result: "ok" } : { result: "retry", reason: `Pub/Sub answered ${status}` };
  }
}

function envelope(message: GcrMessage): object {
  return { data: Buffer.from(JSON.stringify(message)).toString("base64") };
}
