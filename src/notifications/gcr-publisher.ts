import type { ServiceAgents } from "../identity/agent-caller.ts";
import type { Database } from "../metadata/database.ts";
import type { Freshness } from "../metadata/freshness.ts";
import type { ProjectId } from "../names/reference.ts";
import type { Lease } from "../operations/leases.ts";
import { gcrMessage } from "./gcr-message.ts";
import { gcrTopic, type PubSub } from "./pubsub.ts";
import {
  beginFollowing,
  eventsBetween,
  findTopic,
  lastEvent,
  notePosition,
  noteTopic,
  type PlacedEvent,
  projectsBetween,
  settleOutbox,
  type TopicStatus,
  unfinishedTopics,
} from "./topics.ts";

/** Events of one request to the topic, and projects that are told at a time. */
const batch = 200;
const maxRunning = 16;
/** In ms: until a topic that failed is tried again, each time twice as long; until the agent's role is looked at again. */
const firstRetry = 1000;
const longestRetry = 60_000;
const roleRetry = 2000;

interface PublisherOptions {
  /** Under which this server, and no other, publishes. */
  lease: Lease | undefined;
  database: Database;
  freshness: Freshness;
  agents: ServiceAgents;
  pubsub: PubSub;
  log: Record<"info" | "warn" | "error", (fields: object, message: string) => void>;
  now: () => number;
}

/**
 * Tells the topic `gcr` of each project what happened to its images, in order, at least once: an event is done with
 * after it was taken. A project that cannot be told does not hold up the others.
 */
export class GcrPublisher {
  readonly #options: PublisherOptions;
  readonly #waiting = new Set<ProjectId>();
  readonly #running = new Set<ProjectId>();
  /** Those that an error of ours has kept from getting on: nothing of it stands in the database. */
  readonly #broken = new Set<ProjectId>();
  readonly #retries = new Map<ProjectId, { timer: Timer; delay: number }>();
  /** The position before the first event that is told of. */
  #begin = 0;
  /** The last event whose project was put on the list. */
  #listed = 0;
  #looking = false;
  #stopped = false;
  readonly #drains = new Set<Promise<void>>();
  #timer: Timer | undefined;

  constructor(options: PublisherOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { database } = this.#options;
    this.#begin = this.#listed = await database.write(beginFollowing, undefined);
    for (const project of await database.read(unfinishedTopics())) this.#waiting.add(project);
    this.#timer = setInterval(() => void this.#look(), database.lookEach);
  }

  /** Resolves when nothing is being sent any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    for (const { timer } of this.#retries.values()) clearTimeout(timer);
    await Promise.all(this.#drains);
  }

  async #look(): Promise<void> {
    const { database } = this.#options;
    if (this.#looking) return;
    this.#looking = true;
    try {
      if ((await database.read(lastEvent())) > this.#listed) {
        const last = await database.write(settleOutbox, undefined);
        for (const project of await database.read(projectsBetween(this.#listed, last))) this.#waiting.add(project);
        this.#listed = last;
      }
      for (const project of this.#waiting) {
        if (this.#stopped || this.#running.size >= maxRunning) break;
        if (this.#running.has(project)) continue;
        this.#waiting.delete(project);
        this.#running.add(project);
        const drain = this.#drain(project).finally(() => this.#drains.delete(drain));
        this.#drains.add(drain);
      }
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#looking = false;
    }
  }

  async #drain(project: ProjectId): Promise<void> {
    try {
      while (!this.#stopped && (await this.#step(project)));
      this.#broken.delete(project);
    } catch (error) {
      this.#failed(error);
      this.#broken.add(project);
      this.#retry(project, firstRetry);
    } finally {
      this.#running.delete(project);
    }
    await this.#noteListed();
  }

  /** Tells of the next events; answers whether there may be more that can be told now. */
  async #step(project: ProjectId): Promise<boolean> {
    const { database, freshness, agents, pubsub } = this.#options;
    const before = await database.read(findTopic(project));
    const position = before?.position ?? this.#begin;
    const events = await database.read(eventsBetween(project, position, this.#listed, batch));
    const last = events.at(-1);
    if (last === undefined) return false;
    await freshness.refresh();
    const resource = `//pubsub.googleapis.com/${gcrTopic(project)}`;
    const access = { permission: "pubsub.topics.publish", resource, project } as const;
    const grant = await agents.authorize(access, "notifications.publish");
    if (typeof grant === "string") {
      await this.#note(project, before, { position, state: "stopped", reason: grant });
      this.#retry(project, roleRetry);
      return false;
    }
    const messages = events
      .map(({ event }: PlacedEvent) => gcrMessage(event))
      .filter((message) => message !== undefined);
    const published = messages.length === 0 ? undefined : await pubsub.publish(project, messages);
    if (published?.result === "retry") {
      await this.#note(project, before, { position, state: "failing", reason: published.reason });
      this.#retry(project, Math.min((this.#retries.get(project)?.delay ?? firstRetry / 2) * 2, longestRetry));
      return false;
    }
    this.#retries.delete(project);
    const reason = `The topic ${gcrTopic(project)} does not exist: nothing is sent.`;
    const isThere = published?.result !== "no-topic";
    await this.#note(project, before, {
      position: last.id,
      ...(isThere ? { state: "ok", reason: "" } : { state: "no-topic", reason }),
    });
    return true;
  }

  async #note(
    project: ProjectId,
    before: TopicStatus | undefined,
    status: Pick<TopicStatus, "position" | "state" | "reason">,
  ): Promise<void> {
    const { database, lease, log, now } = this.#options;
    const isSame = before?.state === status.state && before.reason === status.reason;
    if (isSame && before.position === status.position) return;
    await database.write(noteTopic, { lease, project, ...status, now: now() });
    const { state, reason } = status;
    if (isSame || (before === undefined && state === "ok")) return;
    if (state === "ok") log.info({ project }, "notifications go out again");
    else log.warn({ project, state, reason }, "notifications do not go out");
  }

  #retry(project: ProjectId, delay: number): void {
    if (this.#stopped) return;
    clearTimeout(this.#retries.get(project)?.timer);
    const timer = setTimeout(() => this.#waiting.add(project), delay);
    this.#retries.set(project, { timer, delay });
  }

  /** What all projects are past, or have on their own list of what is left. */
  async #noteListed(): Promise<void> {
    const position = this.#listed;
    if (this.#running.size + this.#waiting.size + this.#broken.size > 0) return;
    try {
      await this.#options.database.write(notePosition, { lease: this.#options.lease, position });
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    this.#options.log.error({ error: error instanceof Error ? error.message : String(error) }, "publishing failed");
  }
}
