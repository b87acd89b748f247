import { command } from "../metadata/database.ts";
import { all, first, run, type Steps } from "../metadata/statement.ts";
import type { ProjectId } from "../names/reference.ts";
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

/** The events of a project after a position, in their order. */
export function* eventsAfter(project: ProjectId, position: number, limit: number): Steps<PlacedEvent[]> {
  const rows = yield* all<{ id: number; kind: string; payload: string }>(
    `SELECT id, kind, payload FROM outbox WHERE registry_id IN (SELECT id FROM registries WHERE project_id = ?)
       AND id > ? ORDER BY id LIMIT ?`,
    project,
    position,
    limit,
  );
  return rows.map(({ id, kind, payload }) => ({ id, event: { kind, ...(JSON.parse(payload) as object) } as Event }));
}

/** The projects with events after a position, and the position of the last event there is. */
export function* projectsAfter(position: number): Steps<{ projects: ProjectId[]; last: number }> {
  const rows = yield* all<{ project: ProjectId }>(
    `SELECT DISTINCT g.project_id AS project FROM outbox o JOIN registries g ON g.id = o.registry_id WHERE o.id > ?`,
    position,
  );
  const last = yield* first<{ id: number | null }>("SELECT max(id) AS id FROM outbox");
  return { projects: rows.map(({ project }) => project), last: last?.id ?? 0 };
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
  project: ProjectId;
  now: number;
}

/** Notes how far publishing to a project's topic has come, and how it goes. */
export const noteTopic = command("notifications.noteTopic", function* (input: Progress): Steps<void> {
  const { project, position, state, reason, now } = input;
  yield* run(
    `INSERT INTO gcr_topics (project_id, position, state, reason, changed_at)
       SELECT id, ?, ?, ?, ? FROM projects WHERE id = ?
     ON CONFLICT (project_id) DO UPDATE SET position = excluded.position, reason = excluded.reason,
       changed_at = CASE WHEN state = excluded.state THEN changed_at ELSE excluded.changed_at END, state = excluded.state`,
    position,
    state,
    reason,
    now,
    project,
  );
});

/** Where followers of the outbox begin: what happened before notifications were first switched on is not told. */
export const beginFollowing = command("notifications.begin", function* (): Steps<number> {
  const last = yield* first<{ id: number | null }>("SELECT max(id) AS id FROM outbox");
  yield* run(
    "INSERT INTO outbox_cursors (name, position) VALUES ('gcr', ?) ON CONFLICT (name) DO NOTHING",
    last?.id ?? 0,
  );
  const row = yield* first<{ position: number }>("SELECT position FROM outbox_cursors WHERE name = 'gcr'");
  return row?.position ?? 0;
});

/** What all projects' topics are past: from there on is looked for new events after a restart. */
export const notePosition = command("notifications.notePosition", function* (input: { position: number }) {
  yield* run(
    "UPDATE outbox_cursors SET position = ? WHERE name = 'gcr' AND position < ?",
    input.position,
    input.position,
  );
});
