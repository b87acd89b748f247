import { ApiError } from "../../http/api-error.ts";
import { bumpVersion } from "../../metadata/freshness.ts";
import { command } from "../../metadata/database.ts";
import { first, run, type Steps } from "../../metadata/statement.ts";
import type { ResourceName } from "../../names/resources.ts";
import { type Actor, recordChange } from "../audit/audit-log.ts";

/** A role of a project's or the organisation's own making. [IAM, "Role"] */
export interface CustomRole {
  /** `projects/P/roles/R` or `organizations/O/roles/R` */
  name: string;
  title: string;
  description: string;
  stage: string;
  permissions: string[];
  etag: string;
  deletedAt: number | undefined;
}

export interface CustomRoleRow {
  name: string;
  title: string;
  description: string;
  stage: string;
  permissions: string;
  etag: string;
  deleted_at: number | null;
}

export const roleColumns = "name, title, description, stage, permissions, etag, deleted_at";

export function roleFromRow({ permissions, deleted_at, ...row }: CustomRoleRow): CustomRole {
  return { ...row, permissions: JSON.parse(permissions) as string[], deletedAt: deleted_at ?? undefined };
}

/** Custom roles of one project or organisation. [IAM, "Quotas and limits"] */
export const maxRoles = 300;

interface RoleInput {
  role: Omit<CustomRole, "deletedAt">;
  parent: string;
  resource: ResourceName;
  actor: Actor;
  now: number;
}

/** @throws ApiError ALREADY_EXISTS, RESOURCE_EXHAUSTED */
export const createRole = command("access.createRole", function* ({ role, parent, resource, actor, now }: RoleInput) {
  if ((yield* findRole(role.name)) !== undefined) {
    throw new ApiError("ALREADY_EXISTS", `A role named ${role.name} already exists, or was deleted not long ago.`);
  }
  const count = yield* first<{ n: number }>("SELECT count(*) AS n FROM custom_roles WHERE parent = ?", parent);
  if ((count?.n ?? 0) >= maxRoles) {
    throw new ApiError("RESOURCE_EXHAUSTED", `${parent} has ${maxRoles} custom roles, the most there can be.`);
  }
  yield* run(
    `INSERT INTO custom_roles (name, parent, title, description, stage, permissions, etag, created_at)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    role.name,
    parent,
    role.title,
    role.description,
    role.stage,
    JSON.stringify(role.permissions),
    role.etag,
    now,
  );
  yield* changed(role.name, { created: role.permissions }, resource, actor, now);
});

interface RoleChange {
  name: string;
  change: Partial<Pick<CustomRole, "title" | "description" | "stage" | "permissions">> & { deleted?: boolean };
  /** Of the role that was read; empty: whatever is there is changed. */
  etag: string;
  newEtag: string;
  resource: ResourceName;
  actor: Actor;
  now: number;
}

/** @throws ApiError NOT_FOUND, ABORTED, FAILED_PRECONDITION */
export const changeRole = command("access.changeRole", function* (input: RoleChange): Steps<CustomRole> {
  const { name, change, newEtag: etag, now } = input;
  const role = yield* findRole(name);
  if (role === undefined) throw new ApiError("NOT_FOUND", `The role named ${name} was not found.`);
  if (input.etag !== "" && input.etag !== role.etag) {
    throw new ApiError("ABORTED", "There were concurrent changes of the role. Read it again and retry.");
  }
  if (role.deletedAt !== undefined && change.deleted !== false) {
    throw new ApiError("FAILED_PRECONDITION", `The role named ${name} is deleted: undelete it first.`);
  }
  if (role.deletedAt === undefined && change.deleted === false) {
    throw new ApiError("FAILED_PRECONDITION", `The role named ${name} is not deleted.`);
  }
  const { title = role.title, description = role.description, stage = role.stage } = change;
  const { permissions = role.permissions } = change;
  const deletedAt = change.deleted === true ? now : undefined;
  yield* run(
    `UPDATE custom_roles SET title = ?, description = ?, stage = ?, permissions = ?, etag = ?, deleted_at = ?
       WHERE name = ?`,
    title,
    description,
    stage,
    JSON.stringify(permissions),
    etag,
    deletedAt ?? null,
    name,
  );
  yield* changed(name, change, input.resource, input.actor, now);
  return { name, title, description, stage, permissions, etag, deletedAt };
});

export function* findRole(name: string): Steps<CustomRole | undefined> {
  const row = yield* first<CustomRoleRow>(`SELECT ${roleColumns} FROM custom_roles WHERE name = ?`, name);
  return row === undefined ? undefined : roleFromRow(row);
}

function* changed(name: string, detail: object, resource: ResourceName, actor: Actor, now: number): Steps<void> {
  yield* bumpVersion("access");
  yield* recordChange(actor, resource, { role: name, ...detail }, now);
}
