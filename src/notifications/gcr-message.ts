import type { Event } from "../operations/outbox.ts";

/** What Container Registry told the topic `gcr`. [Container Registry, "Configuring Pub/Sub notifications"] */
export interface GcrMessage {
  action: "INSERT" | "DELETE";
  /** `HOST/PROJECT/IMAGE@DIGEST` */
  digest?: string;
  /** `HOST/PROJECT/IMAGE:TAG` */
  tag?: string;
}

/** The message for an event; `undefined` for one that Container Registry said nothing of. */
export function gcrMessage(event: Event): GcrMessage | undefined {
  switch (event.kind) {
    case "manifest.pushed":
      // A push with tags is told by its tags.
      return event.tagged ? undefined : { action: "INSERT", digest: `${event.repository}@${event.digest}` };
    case "manifest.deleted":
      return { action: "DELETE", digest: `${event.repository}@${event.digest}` };
    case "tag.moved":
      return {
        action: "INSERT",
        digest: `${event.repository}@${event.digest}`,
        tag: `${event.repository}:${event.tag}`,
      };
    case "tag.deleted":
      return { action: "DELETE", tag: `${event.repository}:${event.tag}` };
    case "registry.created":
      return undefined;
  }
}
