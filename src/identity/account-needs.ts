import type { Access } from "../access/access-control.ts";
import { type ApiCall } from "../access/api-route.ts";
import type { Permission } from "../access/permissions.ts";
import type { Database } from "../metadata/database.ts";
import type { ProjectId } from "../names/reference.ts";
import { projectResource, type ResourceName, serviceAccountResource } from "../names/resources.ts";
import { unknownAccount } from "./manage-accounts.ts";
import { findServiceAccount, type ServiceAccount } from "./service-accounts.ts";

export const service = "iam.googleapis.com";

export const method = (name: string): string => `google.iam.admin.v1.${name}`;

/** What service accounts need of the rooms above: which project a name or number means. */
export interface AccountRooms {
  database: Database;
  /** A project by its id or number; `undefined` if there is none. */
  findProject(idOrNumber: string): Promise<ProjectId | undefined>;
  /** The server's public address: where key files send for tokens. */
  issuer: string;
  /** The organisation, if the account with this address has a role on it. */
  administered(email: string): Promise<ResourceName | undefined>;
}

export function projectNeeds(rooms: AccountRooms) {
  return (permission: Permission) =>
    async ({ path }: ApiCall): Promise<Access[]> => {
      const named = path.project as string;
      const project = (await rooms.findProject(named)) ?? (named as ProjectId);
      return [{ permission, resource: projectResource(project), project }];
    };
}

/**
 * A right on an account. One that does not exist, or is another project's than the address says, is asked about as if
 * it were there: then who may look is told that it is not.
 */
export function accountNeeds(rooms: AccountRooms) {
  return (permission: Permission) =>
    async (call: ApiCall): Promise<Access[]> => {
      const account = await lookUp(rooms, call);
      if (account !== undefined) {
        const { project, uniqueId } = account;
        return [{ permission, resource: serviceAccountResource(project, uniqueId), project }];
      }
      const { project: named, account: name } = call.path as { project: string; account: string };
      const project = (await rooms.findProject(named === "-" ? projectOfAddress(name) : named)) ?? (named as ProjectId);
      return [{ permission, resource: serviceAccountResource(project, name), project }];
    };
}

/**
 * A right on an account whose new keys make whoever holds them the account. One that administers the organisation is out
 * of reach for the editors of the project that it happens to be in.
 */
export function keyNeeds(rooms: AccountRooms) {
  return (permission: Permission) =>
    async (call: ApiCall): Promise<Access[]> => {
      const needs = await accountNeeds(rooms)(permission)(call);
      const account = await lookUp(rooms, call);
      const organization = account === undefined ? undefined : await rooms.administered(account.email);
      if (organization === undefined) return needs;
      const setPolicy = "resourcemanager.organizations.setIamPolicy";
      return [...needs, { permission: setPolicy, resource: organization, project: undefined }];
    };
}

/** Undelete names the account by its unique id, since its address may be another's by now. */
export async function undeleteNeeds(rooms: AccountRooms, { path }: ApiCall): Promise<Access[]> {
  const permission = "iam.serviceAccounts.undelete";
  const uniqueId = path.account as string;
  const row = await rooms.database.readRow<{ project_id: ProjectId }>(
    "SELECT project_id FROM service_accounts WHERE unique_id = ?",
    uniqueId,
  );
  const named = path.project as string;
  const project = row?.project_id ?? (await rooms.findProject(named)) ?? (named as ProjectId);
  return [{ permission, resource: projectResource(project), project }];
}

/** `NAME@PROJECT[.DOMAIN].iam.gserviceaccount.com` → the project's id. */
function projectOfAddress(email: string): string {
  const [, id, domain] = /@([^.@]+)(?:\.(.+))?\.iam\.gserviceaccount\.com$/.exec(email) ?? [];
  return domain === undefined ? (id ?? "") : `${domain}:${id}`;
}

async function lookUp({ database, findProject }: AccountRooms, { path }: ApiCall): Promise<ServiceAccount | undefined> {
  const account = await database.read(findServiceAccount((path.account as string).toLowerCase()));
  if (account === undefined || path.project === "-") return account;
  return (await findProject(path.project as string)) === account.project ? account : undefined;
}

/** The account that a path names. @throws ApiError NOT_FOUND */
export async function requireFound(rooms: AccountRooms, call: ApiCall): Promise<ServiceAccount> {
  const account = await lookUp(rooms, call);
  if (account === undefined) throw unknownAccount(call.path.account as string);
  return account;
}
