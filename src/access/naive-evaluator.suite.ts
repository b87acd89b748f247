import { predefinedRoles } from "./iam/predefined-roles.ts";

/**
 * Access as IAM's documentation describes it, word by word and without any index or cache: what `AccessControl` is
 * compared with.
 */
export interface World {
  organization: string;
  time: number;
  projects: { id: string; state: "active" | "deleted"; credentialsSince: number }[];
  buckets: { name: string; project: string }[];
  /** By full resource name. */
  policies: Record<string, WorldBinding[]>;
  /** By role name, beside the predefined ones. */
  customRoles: Record<string, string[]>;
  /** By address; members may be groups, also in circles. */
  groups: Record<string, string[]>;
}

export interface WorldBinding {
  role: string;
  members: string[];
  condition?: WorldCondition;
}

export type WorldCondition =
  | { kind: "before"; time: number }
  | { kind: "prefix"; prefix: string }
  | { kind: "type"; type: string }
  /** Whose evaluation fails. */
  | { kind: "broken" };

export interface WorldCaller {
  /** `allUsers` for somebody unknown. */
  principal: string;
  sets: string[];
  bounds: { resource: string; permissions: string[] }[] | undefined;
  issuedAt: number;
}

export interface WorldAccess {
  permission: string;
  resource: string;
  project: string | undefined;
}

export function isAllowed(world: World, caller: WorldCaller, access: WorldAccess): boolean {
  return (
    (holdsRole(world, caller, access) || mayPush(world, caller, access)) && isWithinCredential(world, caller, access)
  );
}

/** "Push (Read & Write): read from and write to the registry." [Container Registry, "Configuring access control"] */
function mayPush(world: World, caller: WorldCaller, access: WorldAccess): boolean {
  const isRead = access.permission === "storage.objects.get" && access.resource.includes("/objects/");
  const held = (permission: string): boolean => holdsRole(world, caller, { ...access, permission });
  return isRead && held("storage.objects.create") && held("storage.buckets.get");
}

/** "A principal has access if any allow policy on the resource or above grants it": union, and nothing else. */
function holdsRole(world: World, caller: WorldCaller, access: WorldAccess): boolean {
  const { permission, resource, project: id } = access;
  const top = `//cloudresourcemanager.googleapis.com/organizations/${world.organization}`;
  if (id === undefined) return resource === top && grants(world, top, caller, access);
  const project = world.projects.find((each) => each.id === id);
  if (project === undefined) return false;
  if (project.state === "deleted" && !permission.startsWith("resourcemanager.projects.")) return false;
  const bucket = /^(\/\/storage\.googleapis\.com\/projects\/_\/buckets\/[^/]+)/.exec(resource)?.[1];
  const path = [bucket ?? resource, `//cloudresourcemanager.googleapis.com/projects/${id}`, top];
  return path.some((each) => grants(world, each, caller, access));
}

function grants(world: World, on: string, caller: WorldCaller, access: WorldAccess): boolean {
  return policyOf(world, on, access.project).some(
    (binding) =>
      permissionsOf(world, binding.role).includes(access.permission) &&
      binding.members.some((member) => isMember(world, caller, member)) &&
      isMet(world, binding.condition, access.resource),
  );
}

/** A bucket that has no policy, since it does not exist yet, is judged by the one that it would get. */
function policyOf(world: World, on: string, project: string | undefined): WorldBinding[] {
  const known = world.policies[on];
  if (known !== undefined) return known;
  if (!on.startsWith("//storage.googleapis.com/")) return [];
  return [
    { role: "roles/storage.legacyBucketOwner", members: [`projectEditor:${project}`, `projectOwner:${project}`] },
    { role: "roles/storage.legacyObjectOwner", members: [`projectEditor:${project}`, `projectOwner:${project}`] },
    { role: "roles/storage.legacyBucketReader", members: [`projectViewer:${project}`] },
    { role: "roles/storage.legacyObjectReader", members: [`projectViewer:${project}`] },
  ];
}

function permissionsOf(world: World, role: string): readonly string[] {
  return world.customRoles[role] ?? predefinedRoles.find(({ name }) => name === role)?.permissions ?? [];
}

function isMember(world: World, caller: WorldCaller, member: string): boolean {
  const { principal } = caller;
  const colon = member.indexOf(":");
  const [kind, value] = [member.slice(0, colon), member.slice(colon + 1)];
  if (member === "allUsers") return true;
  const basic = { projectOwner: "roles/owner", projectEditor: "roles/editor", projectViewer: "roles/viewer" };
  if (kind in basic) {
    const role = basic[kind as keyof typeof basic];
    const bindings = world.policies[`//cloudresourcemanager.googleapis.com/projects/${value}`] ?? [];
    return bindings.some((each) => each.role === role && each.members.some((other) => isMember(world, caller, other)));
  }
  if (principal === "allUsers") return false;
  if (member === "allAuthenticatedUsers") return /^(user|serviceAccount):/.test(principal);
  if (kind === "domain") return principal.startsWith("user:") && principal.endsWith(`@${value}`);
  if (kind === "group") return isInGroup(world, principal, value, []);
  if (kind === "principalSet") return caller.sets.includes(member);
  return member === principal;
}

function isInGroup(world: World, principal: string, group: string, seen: readonly string[]): boolean {
  if (seen.includes(group)) return false;
  return (world.groups[group] ?? []).some(
    (member) =>
      member === principal ||
      (member.startsWith("group:") && isInGroup(world, principal, member.slice("group:".length), [...seen, group])),
  );
}

function isMet(world: World, condition: WorldCondition | undefined, resource: string): boolean {
  if (condition === undefined) return true;
  // Asked about many resources at once nobody knows which.
  if (resource.endsWith("*")) return false;
  const name = resource.replace(/^\/\/[^/]+\//, "");
  if (condition.kind === "before") return world.time < condition.time;
  if (condition.kind === "prefix") return name.startsWith(condition.prefix);
  if (condition.kind === "type") return typeOf(name) === condition.type;
  return false;
}

function typeOf(name: string): string {
  if (/^projects\/_\/buckets\/[^/]+$/.test(name)) return "storage.googleapis.com/Bucket";
  if (/^projects\/_\/buckets\/[^/]+\/objects\//.test(name)) return "storage.googleapis.com/Object";
  if (/^projects\/[^/]+$/.test(name)) return "cloudresourcemanager.googleapis.com/Project";
  if (name.startsWith("organizations/")) return "cloudresourcemanager.googleapis.com/Organization";
  return "iam.googleapis.com/ServiceAccount";
}

export function conditionText(condition: WorldCondition): string {
  if (condition.kind === "before") return `request.time < timestamp("${new Date(condition.time).toISOString()}")`;
  if (condition.kind === "prefix") return `resource.name.startsWith("${condition.prefix}")`;
  if (condition.kind === "type") return `resource.type == "${condition.type}"`;
  return `timestamp(resource.name) < request.time`;
}

/** A credential made for less than its owner may: for a repository its manifests are meant too. */
function isWithinCredential(world: World, { bounds, issuedAt }: WorldCaller, access: WorldAccess): boolean {
  const isNamed = (pattern: string): boolean =>
    pattern.endsWith("*")
      ? access.resource.startsWith(pattern.slice(0, -1))
      : [pattern, `${pattern}:`, `${pattern}@`].some((each, i) =>
          i === 0 ? access.resource === each : access.resource.startsWith(each),
        );
  const isBound = bounds?.some((bound) => bound.permissions.includes(access.permission) && isNamed(bound.resource));
  if (isBound === false) return false;
  const since = world.projects.find((each) => each.id === access.project)?.credentialsSince ?? 0;
  return issuedAt === 0 || issuedAt >= since;
}
