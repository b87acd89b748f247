import type { Freshness } from "../metadata/freshness.ts";
import { anonymous } from "../names/principals.ts";
import type { ProjectId } from "../names/reference.ts";
import {
  bucketOf,
  organizationResource,
  projectResource,
  resourceAttributes,
  type ResourceName,
} from "../names/resources.ts";
import type { AuditJournal } from "./audit/journal.ts";
import { type Call, type Caller, withinBounds } from "./caller.ts";
import { bucketBindings } from "./iam/bucket-bindings.ts";
import type { WorkBudget } from "./iam/cel/evaluation.ts";
import { maxWorkOfAuthorization, maxWorkOfQuestions, workOfTurn } from "./iam/cel/limits.ts";
import { CompiledPolicy, isAudited, type LogType, type RoleGrant } from "./iam/policy.ts";
import type { Roles } from "./iam/roles.ts";
import type { Permission } from "./permissions.ts";
import type { Policies } from "./policies.ts";

/** One right on one resource, and the project that the resource belongs to. */
export interface Access {
  permission: Permission;
  resource: ResourceName;
  /** `undefined` for what belongs to no project: the organisation. */
  project: ProjectId | undefined;
}

declare const granted: unique symbol;

/** Proof that a caller may do what it asked; only `authorize` makes one, and stores open for nothing else. */
export interface Grant {
  readonly [granted]: true;
  readonly caller: Caller;
  readonly call: Call;
  readonly accesses: readonly Access[];
  /** Whether the caller may also do this; for what only the transaction finds out to be needed. */
  may(access: Access): Promise<boolean>;
}

/**
 * Why not: `anonymous`: nobody has said who they are; `bounds`: the credential was made for less, though its owner
 * may; `policy`: no role of the caller's holds the permission.
 */
export interface Refusal {
  refused: "anonymous" | "bounds" | "policy";
  access: Access;
}

/** What access to a project depends on beside policies. */
export interface ProjectState {
  /** Credentials made before, in ms, do not reach it: then its id was another project's. */
  credentialsSince: number;
  /** Whether its deletion was requested: then nothing is left to do with it but to look at it or bring it back. */
  isDeleted: boolean;
}

/** Whether conditions are asked, or taken to be met. */
type Conditions = "ask" | "assume";

/** Where resources hang: known to the rooms above. */
export interface Hierarchy {
  projectState(project: ProjectId): Promise<ProjectState | undefined>;
  /** The one organisation that every project belongs to. */
  organization(): string | Promise<string>;
}

interface AccessControlOptions {
  policies: Policies;
  roles: Roles;
  hierarchy: Hierarchy;
  journal: AuditJournal;
  freshness: Freshness;
  now: () => number;
}

/**
 * What policies say of one right of one caller, for as long as nothing changes that it was found by. Policies tell
 * between the objects of a bucket by conditions alone: without one it is the same for all of them.
 */
interface Decision {
  refused: Exclude<Refusal["refused"], "bounds"> | undefined;
  /** Whether the credential was made for this project, and not for one that had its id before. */
  ofProject: boolean;
  /** By service: whether the project asks for entries of such calls. */
  audited: Map<string, boolean>;
}

/** Rights of one caller that are remembered; beyond them all are forgotten. */
const maxDecisions = 1000;

/** What is noted on the way to a decision. */
interface Trace {
  /** Whether it hangs on a condition: then it may be another one at another time. */
  conditional: boolean;
  /** What the conditions on the way may still do. */
  budget: WorkBudget;
}

function newTrace(budget: WorkBudget = { left: maxWorkOfAuthorization }): Trace {
  return { conditional: false, budget };
}

/** The one door: whatever is done for a caller is asked here, with every resource that it touches. */
export class AccessControl {
  readonly #policies: Policies;
  readonly #roles: Roles;
  readonly #hierarchy: Hierarchy;
  readonly #journal: AuditJournal;
  readonly #now: () => number;
  /** By caller, who is one object for as long as its identity stays the same. */
  #decisions = new WeakMap<Caller, Map<string, Decision>>();

  constructor({ policies, roles, hierarchy, journal, freshness, now }: AccessControlOptions) {
    this.#policies = policies;
    this.#roles = roles;
    this.#hierarchy = hierarchy;
    this.#journal = journal;
    this.#now = now;
    const forget = (): void => void (this.#decisions = new WeakMap());
    for (const version of ["access", "identity", "projects"] as const) freshness.whenChanged(version, forget);
  }

  async authorize(caller: Caller, accesses: readonly Access[], call: Call): Promise<Grant | Refusal> {
    const decisions: Decision[] = [];
    for (const access of accesses) {
      const decision = this.#remembered(caller, access) ?? (await this.#decide(caller, access));
      const refused = refusalOf(decision, caller, access);
      if (refused !== undefined) {
        this.#journal.denied(caller, access, call, refused);
        return { refused, access };
      }
      decisions.push(decision);
    }
    for (const [i, access] of accesses.entries()) {
      if (logTypeOf(access.permission) === undefined) continue;
      const { audited } = decisions[i] as Decision;
      let isAsked = audited.get(call.service);
      if (isAsked === undefined) audited.set(call.service, (isAsked = await this.#isAudited(caller, access, call)));
      if (isAsked) this.#journal.read(caller, access, call);
    }
    const may = (access: Access): Promise<boolean> => this.isAllowed(caller, access);
    return { caller, call, accesses, may } as Grant;
  }

  /** A credential that is none: who tried it is not known. */
  credentialRefused(call: Call, secret: string): void {
    this.#journal.credentialRefused(call, secret);
  }

  /** Whether a listing may show something: no right to anything, and no denial. */
  async isAllowed(caller: Caller, access: Access): Promise<boolean> {
    const decision = this.#remembered(caller, access) ?? (await this.#decide(caller, access));
    return refusalOf(decision, caller, access) === undefined;
  }

  /**
   * `isAllowed` for many questions of one request: their conditions share one budget, beyond which none is met, and
   * other requests get their turn in between.
   */
  questions(caller: Caller): (access: Access) => Promise<boolean> {
    const budget = { left: maxWorkOfQuestions };
    let turnAt = budget.left - workOfTurn;
    return async (access) => {
      if (budget.left < turnAt) {
        turnAt = budget.left - workOfTurn;
        await new Promise((resolve) => setImmediate(resolve));
      }
      const decision = this.#remembered(caller, access) ?? (await this.#decide(caller, access, budget));
      return refusalOf(decision, caller, access) === undefined;
    };
  }

  /**
   * Whether a listing may show all that a resource ending in `*` stands for, none of it, or some, for each of which
   * `isAllowed` tells.
   */
  async reach(caller: Caller, access: Access): Promise<"all" | "some" | "none"> {
    if (await this.isAllowed(caller, access)) return "all";
    const isSome = await this.#isPermitted(caller, access, newTrace(), "assume");
    return isSome && (await this.#isOfProject(caller, access)) ? "some" : "none";
  }

  #remembered(caller: Caller, access: Access): Decision | undefined {
    return this.#decisions.get(caller)?.get(keyOf(access));
  }

  async #decide(caller: Caller, access: Access, questions?: WorkBudget): Promise<Decision> {
    // What changes meanwhile makes new maps: the decision is then remembered by nobody.
    const decisions = this.#decisions;
    const share = Math.min(maxWorkOfAuthorization, questions?.left ?? Infinity);
    const trace = newTrace({ left: share });
    const isPermitted = await this.#isPermitted(caller, access, trace);
    const decision: Decision = {
      refused: isPermitted ? undefined : caller.principal === anonymous ? "anonymous" : "policy",
      ofProject: await this.#isOfProject(caller, access),
      audited: new Map(),
    };
    if (questions !== undefined) questions.left -= share - trace.budget.left;
    if (trace.conditional) return decision;
    let known = decisions.get(caller);
    if (known === undefined || known.size >= maxDecisions) decisions.set(caller, (known = new Map()));
    known.set(keyOf(access), decision);
    return decision;
  }

  async #isOfProject(caller: Caller, { project }: Access): Promise<boolean> {
    if (project === undefined || caller.issuedAt === 0) return true;
    return caller.issuedAt >= ((await this.#hierarchy.projectState(project))?.credentialsSince ?? 0);
  }

  /** Whether the caller holds the permission, or those that stand for it. */
  async #isPermitted(caller: Caller, access: Access, trace: Trace, conditions: Conditions = "ask"): Promise<boolean> {
    if (await this.#holds(caller, access, trace, conditions)) return true;
    const others = isObject(access.resource) ? impliedBy[access.permission] : undefined;
    if (others === undefined) return false;
    for (const permission of others) {
      if (!(await this.#holds(caller, { ...access, permission }, trace, conditions))) return false;
    }
    return true;
  }

  /**
   * Whether any policy from the organisation down to the resource gives the caller a role with the permission. In this
   * order: what conditions further down cost takes nothing from those above, which others write.
   */
  async #holds(caller: Caller, access: Access, trace: Trace, conditions: Conditions): Promise<boolean> {
    const { project, resource } = access;
    if (project !== undefined) {
      const state = await this.#hierarchy.projectState(project);
      if (state === undefined) return false;
      if (state.isDeleted && !access.permission.startsWith("resourcemanager.projects.")) return false;
    }
    const own = bucketOf(resource) ?? resource;
    const top = organizationResource(await this.#hierarchy.organization());
    // What belongs to no project is the organisation, or is not there.
    if (project === undefined && own !== top) return false;
    if (top !== own && (await this.#grants(top, caller, access, trace, conditions))) return true;
    if (project !== undefined) {
      const above = projectResource(project);
      if (above !== own && (await this.#grants(above, caller, access, trace, conditions))) return true;
    }
    return this.#grants(own, caller, access, trace, conditions);
  }

  async #grants(
    on: ResourceName,
    caller: Caller,
    access: Access,
    trace: Trace,
    conditions: Conditions,
  ): Promise<boolean> {
    const policy = (await this.#policies.compiled(on)) ?? (await initialPolicy(on, access.project));
    if (policy === undefined) return false;
    for (const grant of policy.grantsOf(caller.identities))
      if (await this.#permits(grant, access, trace, conditions)) return true;
    for (const project of policy.convenienceProjects()) {
      const basic = await this.#basicRoles(project as ProjectId, caller, access, trace);
      for (const grant of policy.convenienceGrants(project)) {
        if (basic.has(grant.basicRole) && (await this.#permits(grant, access, trace, conditions))) return true;
      }
    }
    return false;
  }

  /** The basic roles that the caller has in a project by the project's own policy. */
  async #basicRoles(project: ProjectId, caller: Caller, access: Access, trace: Trace): Promise<ReadonlySet<string>> {
    const policy: CompiledPolicy | undefined = await this.#policies.compiled(projectResource(project));
    const grants = policy?.grantsOf(caller.identities) ?? [];
    return new Set(grants.filter((grant) => this.#isMet(grant, access, trace)).map(({ role }) => role));
  }

  /** Whether the project, or the organisation for all of them, asks for entries of such calls; changes have theirs in any case. */
  async #isAudited(caller: Caller, { permission, project }: Access, { service }: Call): Promise<boolean> {
    const logType = logTypeOf(permission) as LogType;
    // The images of a registry are objects of its bucket, and their audit was configured there.
    const services = permission.startsWith("storage.") ? [service, storage] : [service];
    const on = [organizationResource(await this.#hierarchy.organization())];
    if (project !== undefined) on.push(projectResource(project));
    for (const resource of on) {
      const configs = (await this.#policies.compiled(resource))?.policy.auditConfigs ?? [];
      // Whom one of them exempts the other may ask for.
      if (isAudited(configs, services, logType, caller.identities)) return true;
    }
    return false;
  }

  async #permits(grant: RoleGrant, access: Access, trace: Trace, conditions: Conditions): Promise<boolean> {
    const permissions = await this.#roles.permissionsOf(grant.role);
    if (!permissions.has(access.permission)) return false;
    return conditions === "assume" || this.#isMet(grant, access, trace);
  }

  #isMet({ condition }: RoleGrant, { resource }: Access, trace: Trace): boolean {
    if (condition === undefined) return true;
    trace.conditional = true;
    // A condition may tell between the resources that a pattern stands for.
    if (resource.endsWith("*")) return false;
    const { name, type, service } = resourceAttributes(resource);
    const context = { time: this.#now(), resourceName: name, resourceType: type, resourceService: service };
    return condition.holds(context, trace.budget);
  }
}

const pushes: readonly Permission[] = ["storage.objects.create", "storage.buckets.get"];

/**
 * Who may push images to a repository may also read it: so is Container Registry's role for it documented,
 * `roles/storage.legacyBucketWriter`, which holds no permission to read; and clients look before they push.
 * [Container Registry, "Configuring access control"]
 */
const impliedBy: Partial<Record<Permission, readonly Permission[]>> = {
  "storage.objects.get": pushes,
  "storage.objects.list": pushes,
};

/** What a decision is remembered under: the objects of a bucket are one to policies without conditions. */
function keyOf({ permission, resource }: Access): string {
  const bucket = bucketOf(resource);
  if (bucket === undefined || bucket === resource) return `${permission} ${resource}`;
  return resource.startsWith(objects, bucket.length)
    ? `${permission} ${bucket}${objects}`
    : `${permission} ${resource}`;
}

function refusalOf(
  decision: Decision,
  caller: Caller,
  { permission, resource }: Access,
): Refusal["refused"] | undefined {
  if (decision.refused !== undefined) return decision.refused;
  return decision.ofProject && withinBounds(caller, permission, resource) ? undefined : "bounds";
}

const objects = "/objects/";

function isObject(resource: ResourceName): boolean {
  const bucket = bucketOf(resource);
  return bucket !== undefined && resource.startsWith(objects, bucket.length);
}

const storage = "storage.googleapis.com";

/** Reading images, and acting as an account: getting a token or a signature of it. [Cloud Audit Logs, services' audited operations] */
const dataReads = new Set<string>([
  "storage.objects.get",
  "storage.objects.list",
  "iam.serviceAccounts.getAccessToken",
  "iam.serviceAccounts.getOpenIdToken",
  "iam.serviceAccounts.implicitDelegation",
  "iam.serviceAccounts.signBlob",
  "iam.serviceAccounts.signJwt",
]);

const logTypes = new Map<Permission, LogType | undefined>();

/** Which log calls for a permission go into where they are asked for; `undefined` for changes. */
function logTypeOf(permission: Permission): LogType | undefined {
  if (logTypes.has(permission)) return logTypes.get(permission);
  const isRead = /\.(?:get|list|getIamPolicy|search[A-Za-z]*)$/.test(permission);
  const type = dataReads.has(permission) ? "DATA_READ" : isRead ? "ADMIN_READ" : undefined;
  logTypes.set(permission, type);
  return type;
}

/**
 * A bucket that does not exist yet is asked as it would be made: who could use it learns that there is nothing,
 * and everybody else nothing.
 */
async function initialPolicy(on: ResourceName, project: ProjectId | undefined): Promise<CompiledPolicy | undefined> {
  if (project === undefined || bucketOf(on) === undefined) return undefined;
  return CompiledPolicy.compile({ etag: "", bindings: bucketBindings(project), auditConfigs: [] });
}

export function isRefusal(decision: Grant | Refusal): decision is Refusal {
  return "refused" in decision;
}
