import { type Actor, recordChange } from "../access/audit/audit-log.ts";
import { ApiError } from "../http/api-error.ts";
import { bumpVersion } from "../metadata/freshness.ts";
import { command } from "../metadata/database.ts";
import { first, run, type Steps } from "../metadata/statement.ts";
import type { ProjectId } from "../names/reference.ts";
import { projectResource } from "../names/resources.ts";
import { type Project, projectColumns, projectFromRow } from "./projects.ts";

/** How long a project whose deletion was requested can be brought back. [Resource Manager, "Shutting down projects"] */
export const undeleteDays = 30;

interface ProjectChange {
  id: ProjectId;
  actor: Actor;
  now: number;
}

/** Nothing of it works any more, and nothing is lost until it is purged. @throws ApiError FAILED_PRECONDITION */
export const deleteProject = command("projects.delete", function* ({ id, actor, now }: ProjectChange): Steps<Project> {
  const project = yield* requireProject(id);
  if (project.deleteRequestedAt !== undefined) {
    throw new ApiError("FAILED_PRECONDITION", "The project is being deleted already.");
  }
  yield* run("UPDATE projects SET delete_requested_at = ?, updated_at = ? WHERE id = ?", now, now, id);
  yield* changed(id, actor, { change: "delete requested" }, now);
  return { ...project, deleteRequestedAt: now, updatedAt: now };
});

/** @throws ApiError FAILED_PRECONDITION for one that is active */
export const undeleteProject = command(
  "projects.undelete",
  function* ({ id, actor, now }: ProjectChange): Steps<Project> {
    const project = yield* requireProject(id);
    if (project.deleteRequestedAt === undefined) throw new ApiError("FAILED_PRECONDITION", "The project is active.");
    yield* run("UPDATE projects SET delete_requested_at = NULL, updated_at = ? WHERE id = ?", now, id);
    yield* changed(id, actor, { change: "undeleted" }, now);
    return { ...project, deleteRequestedAt: undefined, updatedAt: now };
  },
);

interface ProjectUpdate extends ProjectChange {
  displayName?: string;
  labels?: Record<string, string>;
}

export const updateProject = command("projects.update", function* (input: ProjectUpdate): Steps<Project> {
  const project = yield* requireProject(input.id);
  const { displayName = project.displayName, labels = project.labels, now } = input;
  yield* run(
    "UPDATE projects SET display_name = ?, labels = ?, updated_at = ? WHERE id = ?",
    displayName,
    JSON.stringify(labels),
    now,
    input.id,
  );
  yield* changed(input.id, input.actor, { displayName, labels }, now);
  return { ...project, displayName, labels, updatedAt: now };
});

function* requireProject(id: ProjectId): Steps<Project> {
  const row = yield* first<Parameters<typeof projectFromRow>[0]>(
    `SELECT ${projectColumns} FROM projects WHERE id = ?`,
    id,
  );
  if (row === undefined) throw new ApiError("NOT_FOUND", `The project ${id} does not exist.`);
  return projectFromRow(row);
}

/** The state of a project decides on its service accounts too. */
function* changed(id: ProjectId, actor: Actor, detail: object, now: number): Steps<void> {
  yield* bumpVersion("projects");
  yield* bumpVersion("identity");
  yield* recordChange(actor, projectResource(id), detail, now);
}
