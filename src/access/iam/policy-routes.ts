import { z } from "zod";
import { ApiError } from "../../http/api-error.ts";
import type { Database } from "../../metadata/database.ts";
import type { Member } from "../../names/members.ts";
import type { ResourceName } from "../../names/resources.ts";
import type { Access, AccessControl } from "../access-control.ts";
import { type ApiCall, type ApiRoute, apiRoute, type Need, requireGrant } from "../api-route.ts";
import { actorOf } from "../audit/audit-log.ts";
import type { Permission } from "../permissions.ts";
import { readPolicy } from "../policies.ts";
import { newEtag } from "./etag.ts";
import { checkPolicy, type PolicyInput, policyShape } from "./policy-input.ts";
import { viewPolicy } from "./policy-view.ts";
import { holdersOf } from "./policy.ts";
import { nobodyLeft, noPolicyEtag, setPolicy } from "./set-policy.ts";
import { allPermissions, type Roles } from "./roles.ts";

/** What policy methods stand on. */
export interface PolicyRooms {
  database: Database;
  access: AccessControl;
  roles: Roles;
  /** Whether a policy may name this member: an account that exists, or one that only others know. */
  memberExists(member: Member): Promise<boolean>;
  /** Whether somebody can act as this member now. */
  isSomebody(member: Member): Promise<boolean>;
}

/** What the policy is of. */
export interface PolicyTarget extends Pick<Access, "resource" | "project"> {
  /** Whose custom roles may be given on it, besides the organisation's: `projects/P`. */
  roleParents: readonly string[];
}

/** A kind of resource that has a policy, and how its methods are called. */
export interface PolicyKind {
  service: string;
  /** Before the method's name in the audit log: `google.cloud.resourcemanager.v1.Projects.` */
  idPrefix: string;
  /** Of the resource; `:getIamPolicy` and its like follow. */
  path: string;
  get: { permission: Permission; methods: readonly ("GET" | "POST")[] };
  set: Permission;
  allowsPublic: boolean;
  /** The role that somebody has to be left with. */
  keepsRole: string | undefined;
  /** As `accountNeeds`: also for what does not exist. */
  target(call: ApiCall): Promise<PolicyTarget>;
  /** @throws ApiError NOT_FOUND; asked only on behalf of who may look */
  requireExists(call: ApiCall): Promise<void>;
}

const options = z.looseObject({ requestedPolicyVersion: z.int().optional() }).optional();
const maxTested = 100;

/** `getIamPolicy`, `setIamPolicy` and `testIamPermissions` of a kind of resource. [IAM, google.iam.v1.IAMPolicy] */
export function policyRoutes(kind: PolicyKind, rooms: PolicyRooms): ApiRoute[] {
  const { service, path } = kind;
  const needs =
    (permission: Permission) =>
    async (call: ApiCall): Promise<Need> => {
      const { resource, project } = await kind.target(call);
      return [{ permission, resource, project }];
    };
  return [
    ...kind.get.methods.map((method) =>
      apiRoute({
        id: `${kind.idPrefix}GetIamPolicy`,
        service,
        method,
        path: `${path}:getIamPolicy`,
        ...(method === "POST" && { body: z.looseObject({ options }) }),
        needs: needs(kind.get.permission),
        async handle(call) {
          await kind.requireExists(call);
          const { resource } = await kind.target(call);
          const asked = (call.body as { options?: { requestedPolicyVersion?: number } } | undefined)?.options;
          const inQuery = call.query.get("options.requestedPolicyVersion");
          const version = requestedVersion(asked?.requestedPolicyVersion ?? Number(inQuery ?? 1));
          return viewPolicy(await currentPolicy(rooms.database, resource), version);
        },
      }),
    ),
    apiRoute({
      id: `${kind.idPrefix}SetIamPolicy`,
      service,
      method: "POST",
      path: `${path}:setIamPolicy`,
      body: z.strictObject({ policy: policyShape, updateMask: z.string().max(200).optional() }),
      needs: needs(kind.set),
      async handle(call, grant) {
        await kind.requireExists(call);
        const { policy, updateMask } = call.body;
        const stored = await changePolicy(kind, rooms, await kind.target(call), policy, {
          ...maskOf(updateMask, policy),
          actor: actorOf(requireGrant(grant)),
          now: call.now,
        });
        return viewPolicy(stored, 3);
      },
    }),
    apiRoute({
      id: `${kind.idPrefix}TestIamPermissions`,
      service,
      method: "POST",
      path: `${path}:testIamPermissions`,
      body: z.strictObject({ permissions: z.array(z.string().max(200)).max(maxTested) }),
      needs: () => "nobody",
      async handle(call) {
        const permissions = await testPermissions(rooms.access, call, await kind.target(call), call.body.permissions);
        return permissions.length === 0 ? {} : { permissions };
      },
    }),
  ];
}

/** The policy of a resource; one that none was ever set on has an empty one. */
export async function currentPolicy(database: Database, resource: ResourceName) {
  return (await database.read(readPolicy(resource))) ?? { etag: noPolicyEtag, bindings: [], auditConfigs: [] };
}

/** Which parts of a policy are set; the others stay. */
interface PolicyMask {
  takesBindings: boolean;
  takesAuditConfigs: boolean;
}

/** [IAM, SetIamPolicyRequest, updateMask] @throws ApiError INVALID_ARGUMENT */
function maskOf(updateMask: string | undefined, policy: PolicyInput): PolicyMask {
  if (updateMask === undefined) return { takesBindings: true, takesAuditConfigs: policy.auditConfigs !== undefined };
  const fields = new Set(updateMask.split(",").map((field) => field.trim().replaceAll("_", "").toLowerCase()));
  const unknown = [...fields].find((field) => !["bindings", "auditconfigs", "etag", "version"].includes(field));
  if (unknown !== undefined) {
    throw new ApiError("INVALID_ARGUMENT", `updateMask: ${unknown} is not bindings, auditConfigs, etag or version.`);
  }
  return { takesBindings: fields.has("bindings"), takesAuditConfigs: fields.has("auditconfigs") };
}

async function isAnybody(rooms: PolicyRooms, members: readonly Member[]): Promise<boolean> {
  for (const member of members) if (await rooms.isSomebody(member)) return true;
  return false;
}

/** @throws ApiError INVALID_ARGUMENT, ABORTED, FAILED_PRECONDITION */
export async function changePolicy(
  { allowsPublic, keepsRole }: Pick<PolicyKind, "allowsPublic" | "keepsRole">,
  rooms: PolicyRooms,
  { resource, roleParents }: PolicyTarget,
  input: PolicyInput,
  how: PolicyMask & { actor: ReturnType<typeof actorOf>; now: number },
) {
  const { bindings, auditConfigs } = await checkPolicy(input, {
    allowsPublic,
    isGrantable: (role) => isGrantable(rooms.roles, role, roleParents, allowsPublic),
    exists: (member) => rooms.memberExists(member),
  });
  // Where there is no holder at all the command says so, once it has looked at the etag.
  const holders = keepsRole === undefined || !how.takesBindings ? [] : holdersOf(keepsRole, bindings);
  if (keepsRole !== undefined && holders.length > 0 && !(await isAnybody(rooms, holders))) throw nobodyLeft(keepsRole);
  return rooms.database.write(setPolicy, {
    resource,
    bindings: how.takesBindings ? bindings : undefined,
    auditConfigs: how.takesAuditConfigs ? (auditConfigs ?? []) : undefined,
    etag: input.etag ?? "",
    version: input.version ?? 0,
    newEtag: newEtag(),
    keepsRole,
    actor: how.actor,
    now: how.now,
  });
}

/** Which of the permissions the caller has on a resource. @throws ApiError INVALID_ARGUMENT for one that is none */
export async function testPermissions(
  access: AccessControl,
  call: ApiCall,
  { resource, project }: PolicyTarget,
  permissions: readonly string[],
): Promise<string[]> {
  const held: string[] = [];
  for (const permission of new Set(permissions)) {
    if (!allPermissions.has(permission)) {
      throw new ApiError("INVALID_ARGUMENT", `permissions: ${permission.slice(0, 200)} is not a valid permission.`);
    }
    const asked = { permission: permission as Permission, resource, project };
    if (await access.isAllowed(call.caller, asked)) held.push(permission);
  }
  return held;
}

/** Roles on objects and buckets alone cannot be given higher up. [Container Registry, "Configuring access control"] */
async function isGrantable(
  roles: Roles,
  role: string,
  parents: readonly string[],
  isBucket: boolean,
): Promise<boolean> {
  if (role.startsWith("roles/storage.legacy")) return isBucket && roles.isPredefined(role);
  if (isBucket && ["roles/owner", "roles/editor", "roles/viewer"].includes(role)) return false;
  if (roles.isPredefined(role)) return true;
  const isOfParent = parents.some((parent) => role.startsWith(`${parent}/roles/`));
  return isOfParent && roles.exists(role);
}

function requestedVersion(version: number): number {
  if ([0, 1, 3].includes(version)) return version;
  throw new ApiError("INVALID_ARGUMENT", `options.requestedPolicyVersion: ${version} is not 0, 1 or 3.`);
}
