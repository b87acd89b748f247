import { command } from "../metadata/database.ts";
import { all, first, run, type Steps } from "../metadata/statement.ts";
import type { ProjectId } from "../names/reference.ts";
import { type Lease, requireLease } from "../operations/leases.ts";
import type { Event } from "../operations/outbox.ts";

/**
 * How publishing to a project's topic goes: `ok`; `no-topic`: the topic is not there, and nothing is sent, as with
 * Container Registry; `stopped`: the agent may not publish; `failing`: the topic's server does not take messages now.
 * What was not sent when it was stopped or failing is sent when it goes on.
 */
export type TopicState = "ok" | "no-topic" | "stopped" | "failing";

export interface TopicStatus {
  /** The last event of the outbox that is done with. */
  position: number;
  state: TopicState;
  /** Why it is not `ok`; empty where it is. */
  reason: string;
  /** In ms. */
  changedAt: number;
}

/** An event with its place in the outbox. */
export interface PlacedEvent {
  id: number;
  event: Event;
}

const columns = "position, state, reason, changed_at AS changedAt";

/** The events of a project after a position and up to another, in their order. */
export function* eventsBetween(
  project: ProjectId,
  position: number,
  last: number,
  limit: number,
): Steps<PlacedEvent[]> {
  const rows = yield* all<{ id: number; kind: string; payload: string }>(
    `SELECT id, kind, payload FROM outbox WHERE registry_id IN (SELECT id FROM registries WHERE project_id = ?)
       AND id > ? AND id <= ? ORDER BY id LIMIT ?`,
    project,
    position,
    last,
    limit,
  );
  return rows.map(({ id, kind, payload }) => ({ id, event: { kind, ...(JSON.parse(payload) as object) } as Event }));
}

/**
 * The position of the last event there is, when no other is being written. Commands that run side by side may commit
 * in another order than that of their events' ids; this one runs alone, and so none below its answer is still to come.
 */
export const settleOutbox = command("notifications.settle", function* (): Steps<number> {
  return yield* lastEvent();
});

/** The position of the last event that can be seen. */
export function* lastEvent(): Steps<number> {
  return (yield* first<{ id: number | null }>("SELECT max(id) AS id FROM outbox"))?.id ?? 0;
}

/** The projects with events after a position and up to another. */
export function* projectsBetween(position: number, last: number): Steps<ProjectId[]> {
  const rows = yield* all<{ project: ProjectId }>(
    `SELECT DISTINCT g.project_id AS project FROM outbox o JOIN registries g ON g.id = o.registry_id
       WHERE o.id > ? AND o.id <= ?`,
    position,
    last,
  );
  return rows.map(({ project }) => project);
}

/** How it goes with a project's topic; `undefined` before its first event. */
export function* findTopic(project: ProjectId): Steps<TopicStatus | undefined> {
  return yield* first<TopicStatus>(`SELECT ${columns} FROM gcr_topics WHERE project_id = ?`, project);
}

/** Projects whose topics have not got everything: where to go on after a restart. */
export function* unfinishedTopics(): Steps<ProjectId[]> {
  const rows = yield* all<{ project: ProjectId }>(
    "SELECT project_id AS project FROM gcr_topics WHERE state IN ('stopped', 'failing')",
  );
  return rows.map(({ project }) => project);
}

interface Progress extends Omit<TopicStatus, "changedAt"> {
  lease: Lease | undefined;
  project: ProjectId;
  now: number;
}

/** Notes how far publishing to a project's topic has come, and how it goes. */
export const noteTopic = command("notifications.noteTopic", function* (input: Progress): Steps<void> {
  const { project, position, state, reason, now } = input;
  yield* requireLease(input.lease);
  yield* run(
    `INSERT INTO gcr_topics (project_id, position, state, reason, changed_at)
       SELECT id, CAST(? AS BIGINT), ?, ?, CAST(? AS BIGINT) FROM projects WHERE id = ?
     ON CONFLICT (project_id) DO UPDATE SET position = excluded.position, reason = excluded.reason,
       changed_at =
       CASE WHEN gcr_topics.state = excluded.state THEN gcr_topics.changed_at ELSE excluded.changed_at END,
       state = excluded.state`,
    position,
    state,
    reason,
    now,
    project,
  );
});

/** Where followers of the outbox begin: what happened before notifications were first switched on is not told. */
export const beginFollowing = command("notifications.begin", function* (): Steps<number> {
  yield* run(
    "INSERT INTO outbox_cursors (name, position) VALUES ('gcr', ?) ON CONFLICT (name) DO NOTHING",
    yield* lastEvent(),
  );
  const row = yield* first<{ position: number }>("SELECT position FROM outbox_cursors WHERE name = 'gcr'");
  return row?.position ?? 0;
});

/** What all projects' topics are past: from there on is looked for new events after a restart. */
export const notePosition = command(
  "notifications.notePosition",
  function* (input: { lease: Lease | undefined; position: number }) {
    yield* requireLease(input.lease);
    yield* run(
      "UPDATE outbox_cursors SET position = ? WHERE name = 'gcr' AND position < ?",
      input.position,
      input.position,
    );
  },
);
