import { z } from "zod";
import { ApiError } from "../../http/api-error.ts";
import { pageSizeOf } from "../../http/page-size.ts";
import type { Database } from "../../metadata/database.ts";
import { all } from "../../metadata/statement.ts";
import type { ProjectId } from "../../names/reference.ts";
import { organizationResource, projectResource } from "../../names/resources.ts";
import type { Access } from "../access-control.ts";
import { type ApiCall, type ApiRoute, apiRoute, requireGrant } from "../api-route.ts";
import { actorOf } from "../audit/audit-log.ts";
import type { Permission } from "../permissions.ts";
import {
  changeRole,
  createRole,
  type CustomRole,
  type CustomRoleRow,
  findRole,
  roleColumns,
  roleFromRow,
} from "./custom-roles.ts";
import { newEtag } from "./etag.ts";
import { type PredefinedRole, predefinedRoles } from "./predefined-roles.ts";
import { allPermissions, predefinedRole } from "./roles.ts";

const service = "iam.googleapis.com";
const method = (name: string): string => `google.iam.admin.v1.${name}`;

interface RoleRooms {
  database: Database;
  findProject(named: string): Promise<ProjectId | undefined>;
}

const roleId = z.string().regex(/^[a-zA-Z0-9_.]{1,64}$/, "expected up to 64 letters, digits, dots and underscores");
const stages = ["ALPHA", "BETA", "GA", "DEPRECATED", "DISABLED", "EAP"] as const;
const roleShape = z.looseObject({
  title: z.string().max(100).optional(),
  description: z.string().max(300).optional(),
  includedPermissions: z.array(z.string()).max(3000).optional(),
  stage: z.enum(stages).optional(),
  etag: z.string().max(100).optional(),
});

/** Predefined and custom roles. [IAM API v1, roles, projects.roles, organizations.roles] */
export function roleRoutes(rooms: RoleRooms): ApiRoute[] {
  return [
    apiRoute({
      id: method("ListRoles"),
      service,
      method: "GET",
      path: "/v1/roles",
      needs: () => "somebody",
      handle: ({ query }) => Promise.resolve(listPredefined(query)),
    }),
    apiRoute({
      id: method("GetRole"),
      service,
      method: "GET",
      path: "/v1/roles/{role}",
      needs: () => "somebody",
      handle({ path }) {
        const role = predefinedRole(`roles/${path.role}`);
        if (role === undefined) throw unknownRole(`roles/${path.role}`);
        return Promise.resolve(viewPredefined(role, true));
      },
    }),
    apiRoute({
      id: method("QueryTestablePermissions"),
      service,
      method: "POST",
      path: "/v1/permissions:queryTestablePermissions",
      body: z.looseObject({ pageSize: z.int().optional(), pageToken: z.string().optional() }),
      needs: () => "somebody",
      handle({ body }) {
        const names = [...allPermissions].sort();
        const { items, next } = pageOf(names, (name) => name, body.pageSize, body.pageToken, 1000);
        return Promise.resolve({ permissions: items.map((name) => ({ name, stage: "GA" })), ...next });
      },
    }),
    apiRoute({
      id: method("QueryGrantableRoles"),
      service,
      method: "POST",
      path: "/v1/roles:queryGrantableRoles",
      body: z.looseObject({
        fullResourceName: z.string().max(1000),
        pageSize: z.int().optional(),
        pageToken: z.string().optional(),
      }),
      needs: () => "somebody",
      handle({ body }) {
        const isBucket = body.fullResourceName.includes("/buckets/");
        const roles = predefinedRoles.filter(({ name }) => isBucket || !name.startsWith("roles/storage.legacy"));
        const { items, next } = pageOf(roles, ({ name }) => name, body.pageSize, body.pageToken, 300);
        return Promise.resolve({ roles: items.map((role) => viewPredefined(role, false)), ...next });
      },
    }),
    ...customRoutes(rooms, "projects"),
    ...customRoutes(rooms, "organizations"),
  ];
}

function customRoutes(rooms: RoleRooms, kind: "projects" | "organizations"): ApiRoute[] {
  const { database } = rooms;
  const base = `/v1/${kind}/{parent}/roles`;
  const on = (permission: Permission) => async (call: ApiCall) => [await accessTo(rooms, kind, call, permission)];
  const place = async (call: ApiCall): Promise<{ parent: string; name: string; access: Access }> => {
    const access = await accessTo(rooms, kind, call, "iam.roles.get");
    const parent = `${kind}/${access.project ?? call.path.parent}`;
    return { parent, name: `${parent}/roles/${call.path.role}`, access };
  };
  const change = (
    id: string,
    verb: "PATCH" | "DELETE" | "POST",
    permission: Permission,
    path: string,
    what: (call: ApiCall) => Parameters<typeof changeOf>[0],
  ): ApiRoute =>
    apiRoute({
      id: method(id),
      service,
      method: verb,
      path,
      ...(verb !== "DELETE" && { body: roleShape }),
      needs: on(permission),
      async handle(call, grant) {
        const { name, access } = await place(call);
        const given = (call.body ?? {}) as z.infer<typeof roleShape>;
        const role = await database.write(changeRole, {
          name,
          change: changeOf(what(call)),
          etag: given.etag ?? call.query.get("etag") ?? "",
          newEtag: newEtag(),
          resource: access.resource,
          actor: actorOf(requireGrant(grant)),
          now: call.now,
        });
        return viewCustom(role, true);
      },
    });
  return [
    apiRoute({
      id: method("CreateRole"),
      service,
      method: "POST",
      path: base,
      body: z.strictObject({ roleId, role: roleShape.default({}) }),
      needs: on("iam.roles.create"),
      async handle(call, grant) {
        const { parent, access } = await place(call);
        const { roleId: id, role: given } = call.body;
        const role = {
          name: `${parent}/roles/${id}`,
          title: given.title ?? id,
          description: given.description ?? "",
          stage: given.stage ?? "GA",
          permissions: checkPermissions(given.includedPermissions ?? []),
          etag: newEtag(),
        };
        const { resource } = access;
        await database.write(createRole, {
          role,
          parent,
          resource,
          actor: actorOf(requireGrant(grant)),
          now: call.now,
        });
        return viewCustom({ ...role, deletedAt: undefined }, true);
      },
    }),
    apiRoute({
      id: method("ListRoles"),
      service,
      method: "GET",
      path: base,
      needs: on("iam.roles.list"),
      async handle(call) {
        const { parent } = await place(call);
        const rows = await database.read(
          all<CustomRoleRow>(`SELECT ${roleColumns} FROM custom_roles WHERE parent = ? ORDER BY name`, parent),
        );
        const showDeleted = call.query.get("showDeleted")?.toLowerCase() === "true";
        const roles = rows.map(roleFromRow).filter(({ deletedAt }) => showDeleted || deletedAt === undefined);
        const full = call.query.get("view") === "FULL";
        return roles.length === 0 ? {} : { roles: roles.map((role) => viewCustom(role, full)) };
      },
    }),
    apiRoute({
      id: method("GetRole"),
      service,
      method: "GET",
      path: `${base}/{role}`,
      needs: on("iam.roles.get"),
      async handle(call) {
        const { name } = await place(call);
        const role = await database.read(findRole(name));
        if (role === undefined) throw unknownRole(name);
        return viewCustom(role, true);
      },
    }),
    change("UpdateRole", "PATCH", "iam.roles.update", `${base}/{role}`, ({ body, query }) => {
      const given = body as z.infer<typeof roleShape>;
      const mask = query
        .get("updateMask")
        ?.split(",")
        .map((field) => field.replaceAll(/_(\w)/g, (_, c: string) => c.toUpperCase()));
      return { given, mask };
    }),
    change("DeleteRole", "DELETE", "iam.roles.delete", `${base}/{role}`, () => ({ deleted: true })),
    change("UndeleteRole", "POST", "iam.roles.undelete", `${base}/{role}:undelete`, () => ({ deleted: false })),
  ];
}

function changeOf({
  given = {},
  mask,
  deleted,
}: {
  given?: z.infer<typeof roleShape>;
  mask?: string[] | undefined;
  deleted?: boolean;
}) {
  if (deleted !== undefined) return { deleted };
  const takes = (field: string): boolean => mask === undefined || mask.includes(field);
  const { title, description, stage, includedPermissions } = given;
  return {
    ...(takes("title") && title !== undefined && { title }),
    ...(takes("description") &&
      (description !== undefined || mask !== undefined) && { description: description ?? "" }),
    ...(takes("stage") && stage !== undefined && { stage }),
    ...(takes("includedPermissions") &&
      (includedPermissions !== undefined || mask !== undefined) && {
        permissions: checkPermissions(includedPermissions ?? []),
      }),
  };
}

async function accessTo(
  rooms: RoleRooms,
  kind: "projects" | "organizations",
  { path }: ApiCall,
  permission: Permission,
): Promise<Access> {
  const named = (path.parent as string).slice(0, 100);
  if (kind === "organizations") return { permission, resource: organizationResource(named), project: undefined };
  const project = (await rooms.findProject(named)) ?? (named as ProjectId);
  return { permission, resource: projectResource(project), project };
}

/** @throws ApiError INVALID_ARGUMENT */
function checkPermissions(permissions: string[]): string[] {
  const unknown = permissions.find((permission) => !allPermissions.has(permission));
  if (unknown !== undefined) {
    throw new ApiError(
      "INVALID_ARGUMENT",
      `role.includedPermissions: permission ${unknown.slice(0, 200)} is not valid.`,
    );
  }
  return [...new Set(permissions)].sort();
}

function unknownRole(name: string): ApiError {
  return new ApiError("NOT_FOUND", `The role named ${name.slice(0, 200)} was not found.`);
}

function listPredefined(query: URLSearchParams): object {
  const size = pageSizeOf(query, { usual: 1000, largest: 1000 });
  const { items, next } = pageOf(predefinedRoles, ({ name }) => name, size, query.get("pageToken") ?? undefined, 1000);
  return { roles: items.map((role) => viewPredefined(role, query.get("view") === "FULL")), ...next };
}

/** A page of a list that is in memory; the token is the name of the last one shown. */
function pageOf<T>(
  list: readonly T[],
  nameOf: (item: T) => string,
  size: number | undefined,
  token: string | undefined,
  most: number,
) {
  const ordered = [...list].sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
  const after = Buffer.from(token ?? "", "base64url").toString("utf8");
  const rest = ordered.filter((item) => nameOf(item) > after);
  const items = rest.slice(0, Math.min(Math.max(size ?? most, 1), most));
  const last = items.at(-1);
  const next =
    rest.length > items.length && last !== undefined
      ? { nextPageToken: Buffer.from(nameOf(last)).toString("base64url") }
      : {};
  return { items, next };
}

function viewPredefined({ name, title, description, permissions }: PredefinedRole, full: boolean): object {
  return {
    name,
    title,
    ...(description !== "" && { description }),
    ...(full && { includedPermissions: permissions }),
    stage: "GA",
    etag: "AA==",
  };
}

function viewCustom(
  { name, title, description, permissions, stage, etag, deletedAt }: CustomRole,
  full: boolean,
): object {
  return {
    name,
    title,
    ...(description !== "" && { description }),
    ...(full && permissions.length > 0 && { includedPermissions: permissions }),
    stage,
    etag,
    ...(deletedAt !== undefined && { deleted: true }),
  };
}
