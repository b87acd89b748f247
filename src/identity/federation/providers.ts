import { type Actor, recordChange } from "../../access/audit/audit-log.ts";
import { ApiError } from "../../http/api-error.ts";
import { command } from "../../metadata/database.ts";
import { bumpVersion } from "../../metadata/freshness.ts";
import { all, first, run, type Steps } from "../../metadata/statement.ts";
import type { ProjectId } from "../../names/reference.ts";
import { type PoolName, poolPath } from "./pool-names.ts";
import { alreadyExists, poolColumns, type PoolRow, requirePool, requireState, setColumns, tooMany } from "./pools.ts";

/**
 * Who vouches for identities of a pool, and how its word is read. [IAM API v1, "WorkloadIdentityPoolProvider", oidc]
 */
export interface Provider {
  pool: PoolName;
  id: string;
  displayName: string;
  description: string;
  disabled: boolean;
  deletedAt: number | undefined;
  /** The `iss` of its tokens. */
  issuer: string;
  /** Of its tokens; empty: the provider's own name. */
  audiences: string[];
  /** The issuer's keys, where it is not to be asked for them: a JWKS. [RFC 7517] */
  jwks: string | undefined;
  /** By attribute the expression that makes it of the token. */
  mapping: Record<string, string>;
  /** An expression that must hold; empty: none. */
  condition: string;
}

interface ProviderRow extends PoolRow {
  pool_id: string;
  issuer: string;
  audiences: string;
  jwks: string | null;
  mapping: string;
  condition: string;
}

const columns = `${poolColumns}, t.pool_id, t.issuer, t.audiences, t.jwks, t.mapping, t.condition`;
const from = "workload_identity_providers t JOIN projects p ON p.id = t.project_id";
const maxProviders = 500;

function providerFromRow(row: ProviderRow): Provider {
  return {
    pool: { project: row.project_id, number: row.number, pool: row.pool_id },
    id: row.id,
    displayName: row.display_name,
    description: row.description,
    disabled: row.disabled !== 0,
    deletedAt: row.deleted_at ?? undefined,
    issuer: row.issuer,
    audiences: JSON.parse(row.audiences) as string[],
    jwks: row.jwks ?? undefined,
    mapping: JSON.parse(row.mapping) as Record<string, string>,
    condition: row.condition,
  };
}

/** `projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/ID` */
export function providerPath({ pool, id }: Provider): string {
  return `${poolPath(pool)}/providers/${id}`;
}

export function* findProvider(project: string, pool: string, id: string): Steps<Provider | undefined> {
  const sql = `SELECT ${columns} FROM ${from} WHERE t.project_id = ? AND t.pool_id = ? AND t.id = ?`;
  const row = yield* first<ProviderRow>(sql, project, pool, id);
  return row === undefined ? undefined : providerFromRow(row);
}

/** Providers in the order of their ids, one more than asked for if there is one. */
export function* listProviders(
  project: string,
  pool: string,
  { after, size, showDeleted }: { after: string; size: number; showDeleted: boolean },
): Steps<Provider[]> {
  const state = showDeleted ? "" : "AND t.deleted_at IS NULL";
  const sql = `SELECT ${columns} FROM ${from} WHERE t.project_id = ? AND t.pool_id = ? AND t.id > ? ${state}
    ORDER BY t.id LIMIT ?`;
  return (yield* all<ProviderRow>(sql, project, pool, after, size + 1)).map(providerFromRow);
}

interface Change {
  project: ProjectId;
  pool: string;
  id: string;
  actor: Actor;
  now: number;
}

/** What may change of a provider, in the names of the columns. */
export type ProviderChange = Partial<{
  display_name: string;
  description: string;
  disabled: number;
  issuer: string;
  audiences: string;
  jwks: string | null;
  mapping: string;
  condition: string;
}>;

const key = "project_id = ? AND pool_id = ? AND id = ?";

/** @throws ApiError NOT_FOUND, ALREADY_EXISTS, FAILED_PRECONDITION, RESOURCE_EXHAUSTED */
export const createProvider = command(
  "identity.createPoolProvider",
  function* (input: Change & { values: Required<ProviderChange> }): Steps<Provider> {
    const { project, pool, id, values } = input;
    yield* requirePool(input, "ACTIVE");
    if ((yield* findProvider(project, pool, id)) !== undefined) throw alreadyExists(id);
    const count = yield* first<{ n: number }>(
      "SELECT count(*) AS n FROM workload_identity_providers WHERE project_id = ? AND pool_id = ?",
      project,
      pool,
    );
    if ((count?.n ?? 0) >= maxProviders) throw tooMany("pool", maxProviders, "providers");
    const names = Object.keys(values);
    yield* run(
      `INSERT INTO workload_identity_providers (project_id, pool_id, id, created_at, ${names.join(", ")})
       VALUES (?, ?, ?, ?, ${names.map(() => "?").join(", ")})`,
      project,
      pool,
      id,
      input.now,
      ...Object.values(values),
    );
    return yield* changed(input, values);
  },
);

/** @throws ApiError NOT_FOUND, FAILED_PRECONDITION */
export const updateProvider = command(
  "identity.updatePoolProvider",
  function* (input: Change & { change: ProviderChange }): Steps<Provider> {
    yield* requireProvider(input, "ACTIVE");
    const { project, pool, id, change } = input;
    yield* setColumns("workload_identity_providers", change, key, project, pool, id);
    return yield* changed(input, change);
  },
);

/** Deletes a provider, or brings it back. @throws ApiError NOT_FOUND, FAILED_PRECONDITION */
export const setProviderDeleted = command(
  "identity.setPoolProviderDeleted",
  function* (input: Change & { deleted: boolean }): Steps<Provider> {
    yield* requireProvider(input, input.deleted ? "ACTIVE" : "DELETED");
    const { project, pool, id, deleted, now } = input;
    yield* setColumns("workload_identity_providers", { deleted_at: deleted ? now : null }, key, project, pool, id);
    return yield* changed(input, { deleted });
  },
);

function* requireProvider(input: Change, state: "ACTIVE" | "DELETED"): Steps<void> {
  yield* requirePool(input, "ACTIVE");
  const { project, pool, id } = input;
  const found = yield* findProvider(project, pool, id);
  if (found === undefined) throw unknownProvider(id);
  requireState(id, found.deletedAt, state);
}

export function unknownProvider(id: string): ApiError {
  return new ApiError("NOT_FOUND", `The workload identity pool provider ${id.slice(0, 100)} does not exist.`);
}

function* changed({ project, pool, id, actor, now }: Change, detail: object): Steps<Provider> {
  yield* bumpVersion("identity");
  const found = (yield* findProvider(project, pool, id)) as Provider;
  yield* recordChange(actor, `//iam.googleapis.com/${providerPath(found)}`, detail, now);
  return found;
}
