import { type Actor, recordChange, recordEvent } from "../../access/audit/audit-log.ts";
import { ApiError } from "../../http/api-error.ts";
import { command, type Database } from "../../metadata/database.ts";
import { bumpVersion } from "../../metadata/freshness.ts";
import { all, first, run, type SqlValue, type Steps } from "../../metadata/statement.ts";
import type { ProjectId } from "../../names/reference.ts";
import { projectResource } from "../../names/resources.ts";
import { type PoolName, poolPath } from "./pool-names.ts";

/** A pool of identities that others vouch for. [IAM API v1, "WorkloadIdentityPool"] */
export interface Pool {
  name: PoolName;
  displayName: string;
  description: string;
  disabled: boolean;
  /** When it was deleted, in ms; it can be brought back for 30 days. */
  deletedAt: number | undefined;
}

/** What pools and their providers have alike. */
export interface PoolRow {
  project_id: ProjectId;
  number: string;
  id: string;
  display_name: string;
  description: string;
  disabled: number;
  deleted_at: number | null;
}

/** What may change: in the names of the columns. */
export type PoolChange = Partial<{ display_name: string; description: string; disabled: number }>;

export const poolColumns = "t.project_id, p.number, t.id, t.display_name, t.description, t.disabled, t.deleted_at";
const from = "workload_identity_pools t JOIN projects p ON p.id = t.project_id";
export const undeleteDays = 30;
/** Pools of one project, and providers of one pool; those that were deleted and can be brought back count. */
const maxPools = 1000;

function poolFromRow(row: PoolRow): Pool {
  return {
    name: { project: row.project_id, number: row.number, pool: row.id },
    displayName: row.display_name,
    description: row.description,
    disabled: row.disabled !== 0,
    deletedAt: row.deleted_at ?? undefined,
  };
}

export function* findPool(project: string, pool: string): Steps<Pool | undefined> {
  const sql = `SELECT ${poolColumns} FROM ${from} WHERE t.project_id = ? AND t.id = ?`;
  const row = yield* first<PoolRow>(sql, project, pool);
  return row === undefined ? undefined : poolFromRow(row);
}

interface PageRequest {
  after: string;
  size: number;
  showDeleted: boolean;
}

/** Pools in the order of their ids, one more than asked for if there is one. */
export function* listPools(project: string, { after, size, showDeleted }: PageRequest): Steps<Pool[]> {
  const state = showDeleted ? "" : "AND t.deleted_at IS NULL";
  const sql = `SELECT ${poolColumns} FROM ${from} WHERE t.project_id = ? AND t.id > ? ${state} ORDER BY t.id LIMIT ?`;
  return (yield* all<PoolRow>(sql, project, after, size + 1)).map(poolFromRow);
}

interface Change {
  project: ProjectId;
  pool: string;
  actor: Actor;
  now: number;
}

interface NewPool extends Change {
  displayName: string;
  description: string;
  disabled: boolean;
}

/** @throws ApiError ALREADY_EXISTS, RESOURCE_EXHAUSTED */
export const createPool = command("identity.createPool", function* (input: NewPool): Steps<Pool> {
  const { project, pool, displayName, description, disabled, now } = input;
  if ((yield* findPool(project, pool)) !== undefined) throw alreadyExists(pool);
  const count = yield* first<{ n: number }>(
    "SELECT count(*) AS n FROM workload_identity_pools WHERE project_id = ?",
    project,
  );
  if ((count?.n ?? 0) >= maxPools) throw tooMany("project", maxPools, "workload identity pools");
  yield* run(
    `INSERT INTO workload_identity_pools (project_id, id, display_name, description, disabled, created_at)
     VALUES (?, ?, ?, ?, ?, ?)`,
    project,
    pool,
    displayName,
    description,
    disabled ? 1 : 0,
    now,
  );
  return yield* changed(input, { displayName, description, disabled });
});

/** @throws ApiError NOT_FOUND */
export const updatePool = command("identity.updatePool", function* (input: Change & { change: PoolChange }) {
  yield* requirePool(input, "ACTIVE");
  yield* setColumns("workload_identity_pools", input.change, "project_id = ? AND id = ?", input.project, input.pool);
  return yield* changed(input, input.change);
});

/** Deletes a pool, or brings it back. @throws ApiError NOT_FOUND, FAILED_PRECONDITION */
export const setPoolDeleted = command("identity.setPoolDeleted", function* (input: Change & { deleted: boolean }) {
  yield* requirePool(input, input.deleted ? "ACTIVE" : "DELETED");
  const deletedAt = input.deleted ? input.now : null;
  const { project, pool } = input;
  const change = { deleted_at: deletedAt };
  yield* setColumns("workload_identity_pools", change, "project_id = ? AND id = ?", project, pool);
  return yield* changed(input, { deleted: input.deleted });
});

export function* setColumns(
  table: string,
  change: Readonly<Record<string, SqlValue>>,
  where: string,
  ...params: SqlValue[]
): Steps<void> {
  const names = Object.keys(change);
  if (names.length === 0) return;
  const sets = names.map((name) => `${name} = ?`).join(", ");
  yield* run(`UPDATE ${table} SET ${sets} WHERE ${where}`, ...Object.values(change), ...params);
}

/** @throws ApiError NOT_FOUND, FAILED_PRECONDITION */
export function* requirePool({ project, pool }: Change, state: "ACTIVE" | "DELETED"): Steps<Pool> {
  const found = yield* findPool(project, pool);
  if (found === undefined) throw unknownPool(pool);
  requireState(pool, found.deletedAt, state);
  return found;
}

export function unknownPool(id: string): ApiError {
  return new ApiError("NOT_FOUND", `The workload identity pool ${id.slice(0, 100)} does not exist.`);
}

/** @throws ApiError FAILED_PRECONDITION */
export function requireState(id: string, deletedAt: number | undefined, state: "ACTIVE" | "DELETED"): void {
  if (deletedAt !== undefined && state === "ACTIVE")
    throw new ApiError("FAILED_PRECONDITION", `${id} is deleted: undelete it first.`);
  if (deletedAt === undefined && state === "DELETED")
    throw new ApiError("FAILED_PRECONDITION", `${id} is not deleted.`);
}

export function alreadyExists(id: string): ApiError {
  return new ApiError(
    "ALREADY_EXISTS",
    `${id} exists already, or was deleted less than ${undeleteDays} days ago and can be undeleted.`,
  );
}

export function tooMany(parent: string, most: number, children: string): ApiError {
  return new ApiError("RESOURCE_EXHAUSTED", `A ${parent} has at most ${most} ${children}, deleted ones included.`);
}

function* changed({ project, pool, actor, now }: Change, detail: object): Steps<Pool> {
  yield* bumpVersion("identity");
  const found = (yield* findPool(project, pool)) as Pool;
  yield* recordChange(actor, `//iam.googleapis.com/${poolPath(found.name)}`, detail, now);
  return found;
}

/** Removes what was deleted 30 days ago: then its name can be given anew. */
export const purgePools = command(
  "identity.purgePools",
  function* (input: { before: number; now: number }): Steps<void> {
    for (const table of ["workload_identity_pools", "workload_identity_providers"]) {
      const gone = yield* all<{ project_id: ProjectId; id: string }>(
        `DELETE FROM ${table} WHERE deleted_at < ? RETURNING project_id, id`,
        input.before,
      );
      for (const { project_id: project, id } of gone) {
        const call = { service: "iam.googleapis.com", method: "berth.pools.Purge" };
        yield* recordEvent(call, { resource: projectResource(project), project }, { [table]: id }, input.now);
      }
    }
  },
);

export async function purgeDeletedPools(database: Database, now: number): Promise<void> {
  const before = now - undeleteDays * 24 * 3600_000;
  const due = await database.readRow(
    `SELECT id FROM workload_identity_pools WHERE deleted_at < ?
     UNION ALL SELECT id FROM workload_identity_providers WHERE deleted_at < ? LIMIT 1`,
    before,
    before,
  );
  if (due !== undefined) await database.write(purgePools, { before, now });
}
