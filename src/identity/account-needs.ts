import type { Access } from "../access/access-control.ts";
import { type ApiCall } from "../access/api-route.ts";
import type { Permission } from "../access/permissions.ts";
import type { Database } from "../metadata/database.ts";
import type { ProjectId } from "../names/reference.ts";
import type { Member } from "../names/members.ts";
import { serviceAccountPrincipal } from "../names/principals.ts";
import { projectResource, type ResourceName, serviceAccountResource } from "../names/resources.ts";
import { unknownAccount } from "./manage-accounts.ts";
import { findServiceAccount, type ServiceAccount } from "./service-accounts.ts";

export const service = "iam.googleapis.com";

export const method = (name: string): string => `google.iam.admin.v1.${name}`;

/** The organisation, if this account, user or group administers it, by itself or through a group. */
export type Administered = (member: Member) => Promise<ResourceName | undefined>;

/** What service accounts need of the rooms above: which project a name or number means. */
export interface AccountRooms {
  database: Database;
  /** A project by its id or number; `undefined` if there is none. */
  findProject(idOrNumber: string): Promise<ProjectId | undefined>;
  /** The server's public address: where key files send for tokens. */
  issuer: string;
  administered: Administered;
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
        const { project, uniqueId, email } = account;
        const access = { permission, resource: serviceAccountResource(project, uniqueId), project };
        if (!takeovers.has(permission)) return [access];
        return [access, ...(await takeoverNeeds(rooms.administered, serviceAccountPrincipal(email)))];
      }
      const { project: named, account: name } = call.path as { project: string; account: string };
      const project = (await rooms.findProject(named === "-" ? projectOfAddress(name) : named)) ?? (named as ProjectId);
      return [{ permission, resource: serviceAccountResource(project, name), project }];
    };
}

/** What makes somebody the account, or takes it away from whoever it belongs to. */
const takeovers: ReadonlySet<Permission> = new Set<Permission>([
  "iam.serviceAccountKeys.create",
  "iam.serviceAccountKeys.delete",
  "iam.serviceAccountKeys.disable",
  "iam.serviceAccountKeys.enable",
  "iam.serviceAccounts.delete",
  "iam.serviceAccounts.disable",
  "iam.serviceAccounts.enable",
  "iam.serviceAccounts.getAccessToken",
  "iam.serviceAccounts.getOpenIdToken",
  "iam.serviceAccounts.implicitDelegation",
  "iam.serviceAccounts.setIamPolicy",
  "iam.serviceAccounts.signBlob",
  "iam.serviceAccounts.signJwt",
]);

/**
 * Who administers the organisation is out of reach for whoever does not: a service account for the owners and editors of
 * the project that it happens to be in, a user or a group for those who manage users.
 */
export async function takeoverNeeds(administered: Administered, member: Member): Promise<Access[]> {
  const organization = await administered(member);
  if (organization === undefined) return [];
  const setPolicy = "resourcemanager.organizations.setIamPolicy";
  return [{ permission: setPolicy, resource: organization, project: undefined }];
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
