import type { Member } from "../../names/members.ts";
import { compileCondition, type CompiledCondition, type Condition } from "./conditions.ts";

/** Gives a role to members, on a condition or without one. [IAM, "Policy", Binding] */
export interface Binding {
  role: string;
  members: Member[];
  condition?: Condition;
}

export type LogType = "ADMIN_READ" | "DATA_READ" | "DATA_WRITE";

/** Which kinds of calls to a service, or to `allServices`, are audited beside changes. [IAM, "AuditConfig"] */
export interface AuditConfig {
  service: string;
  auditLogConfigs: { logType: LogType; exemptedMembers?: Member[] }[];
}

/** The policy of one resource. [IAM, "Policy"] */
export interface Policy {
  etag: string;
  bindings: Binding[];
  auditConfigs: AuditConfig[];
}

/** Whom the bindings give a role now and always; those who are deleted do not count. */
export function holdersOf(role: string, bindings: readonly Binding[]): Member[] {
  return bindings
    .filter((binding) => binding.role === role && binding.condition === undefined)
    .flatMap(({ members }) => members.filter((member) => !member.startsWith("deleted:")));
}

export function hasOwner(bindings: readonly Binding[]): boolean {
  return holdersOf("roles/owner", bindings).length > 0;
}

/** A role that somebody has, and the condition it hangs on. */
export interface RoleGrant {
  role: string;
  condition: CompiledCondition | undefined;
}

/** Everything that a caller is, for bindings: itself, its groups and domain, `allUsers`. */
export type Identities = ReadonlySet<Member>;

/** The basic roles of a project, as members of bindings elsewhere. [Cloud Storage, "Convenience values"] */
export const basicRoles = {
  projectOwner: "roles/owner",
  projectEditor: "roles/editor",
  projectViewer: "roles/viewer",
} as const;

interface ConvenienceGrant extends RoleGrant {
  /** The basic role that the caller must have in the project. */
  basicRole: string;
}

const nothing: readonly never[] = [];

/** A policy as it is asked: who has which roles. */
export class CompiledPolicy {
  readonly policy: Policy;
  readonly #byMember: ReadonlyMap<Member, readonly RoleGrant[]>;
  /** The grants to a project's owners, editors and viewers, by project. */
  readonly #byProject: ReadonlyMap<string, readonly ConvenienceGrant[]>;
  /** A caller's identities are one object for as long as they stay the same. */
  readonly #known = new WeakMap<Identities, readonly RoleGrant[]>();

  static async compile(policy: Policy): Promise<CompiledPolicy> {
    const byMember = new Map<Member, RoleGrant[]>();
    const byProject = new Map<string, ConvenienceGrant[]>();
    for (const { role, members, condition } of policy.bindings) {
      const grant = { role, condition: condition === undefined ? undefined : await compileCondition(condition) };
      for (const member of members) {
        const colon = member.indexOf(":");
        const kind = member.slice(0, Math.max(colon, 0));
        if (Object.hasOwn(basicRoles, kind)) {
          const basicRole = basicRoles[kind as keyof typeof basicRoles];
          append(byProject, member.slice(colon + 1), { ...grant, basicRole });
        } else append(byMember, member, grant);
      }
    }
    return new CompiledPolicy(policy, byMember, byProject);
  }

  private constructor(
    policy: Policy,
    byMember: ReadonlyMap<Member, readonly RoleGrant[]>,
    byProject: ReadonlyMap<string, readonly ConvenienceGrant[]>,
  ) {
    this.policy = policy;
    this.#byMember = byMember;
    this.#byProject = byProject;
  }

  /** The roles that a caller has by what it is; those it has as a project's owner, editor or viewer stand apart. */
  grantsOf(identities: Identities): readonly RoleGrant[] {
    let grants = this.#known.get(identities);
    if (grants === undefined) {
      grants = this.#lookUp(identities);
      this.#known.set(identities, grants);
    }
    return grants;
  }

  /** The projects whose owners, editors or viewers have a role here. */
  convenienceProjects(): Iterable<string> {
    return this.#byProject.keys();
  }

  convenienceGrants(project: string): readonly ConvenienceGrant[] {
    return this.#byProject.get(project) ?? nothing;
  }

  /** Goes through whichever is shorter: what the caller is, or whom the policy names. */
  #lookUp(identities: Identities): readonly RoleGrant[] {
    const found: RoleGrant[] = [];
    if (identities.size <= this.#byMember.size) {
      for (const member of identities) found.push(...(this.#byMember.get(member) ?? nothing));
    } else {
      for (const [member, grants] of this.#byMember) if (identities.has(member)) found.push(...grants);
    }
    return found.length === 0 ? nothing : found;
  }
}

/**
 * Whether calls of a kind to one of the services are to be audited by the configurations of one policy. A member that
 * any of these exempts is exempt. [IAM, "AuditConfig"]
 */
export function isAudited(
  configs: readonly AuditConfig[],
  services: readonly string[],
  logType: LogType,
  identities: Identities,
): boolean {
  const asked = configs
    .filter(({ service }) => service === "allServices" || services.includes(service))
    .flatMap(({ auditLogConfigs }) => auditLogConfigs)
    .filter((config) => config.logType === logType);
  const isExempt = asked.some(({ exemptedMembers = [] }) => exemptedMembers.some((member) => identities.has(member)));
  return asked.length > 0 && !isExempt;
}

function append<T>(map: Map<string, T[]>, key: string, value: T): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}
