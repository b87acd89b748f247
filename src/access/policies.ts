import { LRUCache } from "lru-cache";
import { ApiError } from "../http/api-error.ts";
import type { Database } from "../metadata/database.ts";
import { bumpVersion, type Freshness } from "../metadata/freshness.ts";
import { all, first, run, type Steps } from "../metadata/statement.ts";
import type { Member } from "../names/members.ts";
import type { ProjectId } from "../names/reference.ts";
import { projectOf, type ResourceName } from "../names/resources.ts";
import type { Grant } from "./access-control.ts";
import { type AuditConfig, type Binding, CompiledPolicy, hasOwner, holdersOf, type Policy } from "./iam/policy.ts";

interface PolicyRow {
  etag: string;
  bindings: string;
  audit_configs: string;
}

interface Known {
  /** `undefined`: the resource has no policy. */
  compiled: CompiledPolicy | undefined;
  generation: number;
}

/** The policies of resources, compiled, and kept as long as their etags stand. */
export class Policies {
  readonly #database: Database;
  readonly #known = new LRUCache<ResourceName, Known>({ max: 20_000 });
  #generation = 0;

  constructor(database: Database, freshness: Freshness) {
    this.#database = database;
    freshness.whenChanged("access", () => this.#generation++);
  }

  compiled(resource: ResourceName): CompiledPolicy | undefined | Promise<CompiledPolicy | undefined> {
    const known = this.#known.get(resource);
    return known?.generation === this.#generation ? known.compiled : this.#load(resource, known?.compiled);
  }

  /** Some policy changed, perhaps not this one: a large one is not read and compiled again for nothing. */
  async #load(resource: ResourceName, old: CompiledPolicy | undefined): Promise<CompiledPolicy | undefined> {
    const generation = this.#generation;
    const etag = await this.#database.readRow<{ etag: string }>(
      "SELECT etag FROM policies WHERE resource = ?",
      resource,
    );
    let compiled: CompiledPolicy | undefined;
    if (etag !== undefined) {
      compiled = old?.policy.etag === etag.etag ? old : await this.#compile(resource);
    }
    this.#known.set(resource, { compiled, generation });
    return compiled;
  }

  async #compile(resource: ResourceName): Promise<CompiledPolicy | undefined> {
    const policy = await this.#database.read(readPolicy(resource));
    return policy === undefined ? undefined : CompiledPolicy.compile(policy);
  }
}

export function* readPolicy(resource: ResourceName): Steps<Policy | undefined> {
  const row = yield* first<PolicyRow>(
    "SELECT etag, bindings, audit_configs FROM policies WHERE resource = ?",
    resource,
  );
  if (row === undefined) return undefined;
  return {
    etag: row.etag,
    bindings: JSON.parse(row.bindings) as Binding[],
    auditConfigs: JSON.parse(row.audit_configs) as AuditConfig[],
  };
}

/** Gives a resource a policy in place of the one it has. */
export function* writePolicy(resource: ResourceName, policy: Policy): Steps<void> {
  yield* run(
    `INSERT INTO policies (resource, etag, bindings, audit_configs) VALUES (?, ?, ?, ?)
     ON CONFLICT (resource) DO UPDATE
       SET etag = excluded.etag, bindings = excluded.bindings, audit_configs = excluded.audit_configs`,
    resource,
    policy.etag,
    JSON.stringify(policy.bindings),
    JSON.stringify(policy.auditConfigs),
  );
  const exempted = policy.auditConfigs.flatMap(({ auditLogConfigs }) =>
    auditLogConfigs.flatMap(({ exemptedMembers = [] }) => exemptedMembers),
  );
  yield* writeMembers(resource, new Set([...policy.bindings.flatMap(({ members }) => members), ...exempted]));
  yield* bumpVersion("access");
}

/** Only what changed is written: a policy may name very many members. */
function* writeMembers(resource: ResourceName, members: ReadonlySet<Member>): Steps<void> {
  const rows = yield* all<{ member: Member }>("SELECT member FROM policy_members WHERE resource = ?", resource);
  const before = new Set(rows.map(({ member }) => member));
  for (const member of before.difference(members)) {
    yield* run("DELETE FROM policy_members WHERE member = ? AND resource = ?", member, resource);
  }
  for (const member of members.difference(before)) {
    yield* run("INSERT INTO policy_members (member, resource) VALUES (?, ?)", member, resource);
  }
}

/** What goes with the deletion of a member. */
export interface Retirement {
  newEtag: string;
  /** See `guardedProjects`. */
  guarded: ProjectId[];
}

const maxGuarded = 1000;

/**
 * The projects that name a member and that whoever deletes it may give new owners: none of these is left without one.
 * About others' projects a deletion hears nothing, and nobody can keep an account alive by making it an owner.
 */
export async function guardedProjects(database: Database, grant: Grant, member: Member): Promise<ProjectId[]> {
  const rows = await database.read(
    all<{ resource: ResourceName }>("SELECT resource FROM policy_members WHERE member = ? LIMIT ?", member, maxGuarded),
  );
  const guarded: ProjectId[] = [];
  for (const { resource } of rows) {
    const project = projectOf(resource);
    const permission = "resourcemanager.projects.setIamPolicy";
    if (project !== undefined && (await grant.may({ permission, resource, project }))) guarded.push(project);
  }
  return guarded;
}

/**
 * Writes `deleted:user:E?uid=U` for a user that is deleted in every policy that names it; groups and service accounts
 * alike.
 * @throws ApiError FAILED_PRECONDITION if one of the guarded projects would be left without an owner
 */
export function* retireMember(member: Member, uniqueId: string, { newEtag, guarded }: Retirement): Steps<void> {
  const changed = yield* replaceMember(member, deletedMember(member, uniqueId), newEtag);
  const top = changed.find(({ resource, before, after }) => {
    return projectOf(resource) === undefined && hasAdministrator(before) && !hasAdministrator(after);
  });
  if (top !== undefined) throw onlyAdministrator(member);
  const orphaned = changed.find(({ resource, before, after }) => {
    const project = projectOf(resource);
    return project !== undefined && guarded.includes(project) && hasOwner(before) && !hasOwner(after);
  });
  if (orphaned === undefined) return;
  throw new ApiError(
    "FAILED_PRECONDITION",
    `${member} is the only owner of the project ${projectOf(orphaned.resource)}: give roles/owner there to somebody else first.`,
  );
}

/** The role without which nobody could give roles on the organisation. */
export const administrator = "roles/resourcemanager.organizationAdmin";

const hasAdministrator = (bindings: readonly Binding[]): boolean => holdersOf(administrator, bindings).length > 0;

function onlyAdministrator(member: Member): ApiError {
  return new ApiError(
    "FAILED_PRECONDITION",
    `${member} is the only administrator of the organization: give ${administrator} there to somebody else first.`,
  );
}

/** @throws ApiError FAILED_PRECONDITION if without the member nobody would administer the organisation */
export function* requireOtherAdministrator(member: Member): Steps<void> {
  const sql =
    "SELECT resource FROM policy_members WHERE member = ? AND resource LIKE '//cloudresourcemanager.googleapis.com/organizations/%'";
  for (const { resource } of yield* all<{ resource: ResourceName }>(sql, member)) {
    const bindings = (yield* readPolicy(resource))?.bindings ?? [];
    const others = bindings.map((binding) => ({
      ...binding,
      members: binding.members.filter((each) => each !== member),
    }));
    if (hasAdministrator(bindings) && !hasAdministrator(others)) throw onlyAdministrator(member);
  }
}

/** Names a member that came back again, where it is named as deleted. */
export function* restoreMember(member: Member, uniqueId: string, newEtag: string): Steps<void> {
  yield* replaceMember(deletedMember(member, uniqueId), member, newEtag);
}

export function deletedMember(member: Member, uniqueId: string): Member {
  return `deleted:${member}?uid=${uniqueId}`;
}

interface ChangedPolicy {
  resource: ResourceName;
  before: readonly Binding[];
  after: readonly Binding[];
}

/**
 * Writes `to` for `from` in every policy that names it.
 * @param to `undefined`: it is taken out
 * @param newEtag an etag that was never used
 */
export function* replaceMember(from: Member, to: Member | undefined, newEtag: string): Steps<ChangedPolicy[]> {
  const rows = yield* all<{ resource: ResourceName }>("SELECT resource FROM policy_members WHERE member = ?", from);
  const changed: ChangedPolicy[] = [];
  for (const { resource } of rows) {
    const policy = yield* readPolicy(resource);
    if (policy === undefined) continue;
    const renamed = (members: readonly Member[]): Member[] => [
      ...new Set(members.flatMap((member) => (member !== from ? member : (to ?? [])))),
    ];
    const after = policy.bindings
      .map((binding) => ({ ...binding, members: renamed(binding.members) }))
      .filter(({ members }) => members.length > 0);
    const auditConfigs = policy.auditConfigs.map((config) => ({
      ...config,
      auditLogConfigs: config.auditLogConfigs.map((log) => ({
        ...log,
        ...(log.exemptedMembers !== undefined && { exemptedMembers: renamed(log.exemptedMembers) }),
      })),
    }));
    yield* writePolicy(resource, { ...policy, bindings: after, auditConfigs, etag: newEtag });
    changed.push({ resource, before: policy.bindings, after });
  }
  return changed;
}
