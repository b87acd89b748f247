import { bumpVersion } from "../metadata/freshness.ts";
import { recordEvent } from "../access/audit/audit-log.ts";
import { newEtag } from "../access/iam/etag.ts";
import { basicRoles } from "../access/iam/policy.ts";
import { deletedMember, replaceMember } from "../access/policies.ts";
import { command, type Database } from "../metadata/database.ts";
import { all, first, run, type SqlValue, type Steps } from "../metadata/statement.ts";
import { serviceAccountPrincipal } from "../names/principals.ts";
import type { ProjectId } from "../names/reference.ts";
import { bucketResource, projectResource, serviceAccountResource } from "../names/resources.ts";
import { undeleteDays } from "./project-commands.ts";

/** Rows that one transaction removes at most: others wait for it. */
const step = 500;
/** The same for accounts, each of which may stand in many policies. */
const accountStep = 20;

interface PurgeInput {
  project: ProjectId;
  newEtag: string;
  now: number;
}

/**
 * Removes a part of a project whose time is over; answers whether something is left. The bytes of its images go with
 * the next collection, since nothing names them any more.
 */
export const purgeProject = command("projects.purge", function* (input: PurgeInput): Steps<boolean> {
  const { project, now } = input;
  const due = now - undeleteDays * 24 * 3600_000;
  const row = yield* first("SELECT id FROM projects WHERE id = ? AND delete_requested_at < ?", project, due);
  if (row === undefined) return false;
  if (yield* forgetAccounts(input)) return true;
  for (const [from, where] of partsOfProject) if (yield* removeSome(from, where, project)) return true;
  yield* removePolicies(project);
  for (const member of conveniences) yield* replaceMember(`${member}:${project}`, undefined, input.newEtag);
  yield* run("DELETE FROM registries WHERE project_id = ?", project);
  yield* run("DELETE FROM service_accounts WHERE project_id = ?", project);
  yield* run("DELETE FROM custom_roles WHERE parent = ?", `projects/${project}`);
  yield* run("DELETE FROM projects WHERE id = ?", project);
  yield* run(
    "INSERT INTO retired_projects (id, purged_at) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET purged_at = excluded.purged_at",
    project,
    now,
  );
  for (const version of ["projects", "identity", "access"] as const) yield* bumpVersion(version);
  const call = { service: "cloudresourcemanager.googleapis.com", method: "berth.projects.Purge" };
  yield* recordEvent(call, { resource: projectResource(project), project }, { change: "purged" }, now);
  return false;
});

/** Members elsewhere that mean whoever is something in the project: the next one of this name is another. */
const conveniences = Object.keys(basicRoles);

/** Policies elsewhere go on naming accounts of the project, as deleted: others may have their addresses later. */
function* forgetAccounts({ project, newEtag: etag, now }: PurgeInput): Steps<boolean> {
  const some = yield* all<{ unique_id: string; email: string }>(
    "SELECT unique_id, email FROM service_accounts WHERE project_id = ? AND deleted_at IS NULL LIMIT ?",
    project,
    accountStep,
  );
  for (const { unique_id: id, email } of some) {
    const member = serviceAccountPrincipal(email);
    yield* run("UPDATE service_accounts SET deleted_at = ? WHERE unique_id = ?", now, id);
    yield* replaceMember(member, deletedMember(member, id), etag);
    yield* run("DELETE FROM group_members WHERE member = ?", member);
  }
  return some.length > 0;
}

const repositories =
  "repository_id IN (SELECT r.id FROM repositories r JOIN registries g ON g.id = r.registry_id WHERE g.project_id = ?)";

/** What hangs on a project's registries, what refers before what is referred to. */
const partsOfProject: readonly [table: string, where: string][] = [
  ["tags", repositories],
  ["tag_history", repositories],
  ["manifests", repositories],
  ["uploads", repositories],
  ["blob_links", repositories],
  ["repositories", "registry_id IN (SELECT id FROM registries WHERE project_id = ?)"],
];

/** The tables without an id are removed from by their keys. */
const keys: Record<string, string> = { tags: "repository_id, name", blob_links: "repository_id, blob_id" };

function* removeSome(table: string, where: string, ...params: SqlValue[]): Steps<boolean> {
  const key = keys[table] ?? "id";
  const some = yield* all(`SELECT 1 FROM ${table} WHERE ${where} LIMIT 1`, ...params);
  if (some.length === 0) return false;
  yield* run(
    `DELETE FROM ${table} WHERE (${key}) IN (SELECT ${key} FROM ${table} WHERE ${where} LIMIT ${step})`,
    ...params,
  );
  return true;
}

function* removePolicies(project: ProjectId): Steps<void> {
  const buckets = yield* all<{ bucket: string }>("SELECT bucket FROM registries WHERE project_id = ?", project);
  const accounts = yield* all<{ unique_id: string }>(
    "SELECT unique_id FROM service_accounts WHERE project_id = ?",
    project,
  );
  const resources = [
    projectResource(project),
    ...buckets.map(({ bucket }) => bucketResource(bucket)),
    ...accounts.map(({ unique_id }) => serviceAccountResource(project, unique_id)),
  ];
  for (const resource of resources) yield* run("DELETE FROM policies WHERE resource = ?", resource);
}

/** Removes the projects whose 30 days are over; answers how many. */
export async function purgeProjects(database: Database, now: number): Promise<number> {
  const due = await database.read(
    all<{ id: ProjectId }>("SELECT id FROM projects WHERE delete_requested_at < ?", now - undeleteDays * 24 * 3600_000),
  );
  for (const { id } of due) while (await database.write(purgeProject, { project: id, newEtag: newEtag(), now }));
  return due.length;
}
