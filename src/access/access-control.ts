import { anonymous, type Principal } from "../names/principals.ts";
import type { ProjectId } from "../names/reference.ts";
import { projectResource, type ResourceName } from "../names/resources.ts";
import { type Call, type Caller, withinBounds } from "./caller.ts";
import type { Permission } from "./permissions.ts";
import { allPolicies, type Policies } from "./policies.ts";
import type { Database } from "../metadata/database.ts";

/** One right on one resource, and the project that the resource belongs to. */
export interface Access {
  permission: Permission;
  resource: ResourceName;
  project: ProjectId;
}

declare const granted: unique symbol;

/** Proof that a caller may do what it asked; only `authorize` makes one, and stores open for nothing else. */
export interface Grant {
  readonly [granted]: true;
  readonly principal: Principal;
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

/** The one door: whatever is done for a caller is asked here, with every resource that it touches. */
export class AccessControl {
  readonly #database: Database;
  readonly #policies: Policies;
  readonly #projectCreatedAt: (project: ProjectId) => Promise<number | undefined>;

  constructor(
    database: Database,
    policies: Policies,
    projectCreatedAt: (project: ProjectId) => Promise<number | undefined>,
  ) {
    this.#database = database;
    this.#policies = policies;
    this.#projectCreatedAt = projectCreatedAt;
  }

  async authorize(caller: Caller, accesses: readonly Access[], call: Call): Promise<Grant | Refusal> {
    for (const access of accesses) {
      const refused = await this.#refusal(caller, access);
      if (refused !== undefined) return { refused, access };
    }
    const may = async (access: Access): Promise<boolean> => (await this.#refusal(caller, access)) === undefined;
    return { principal: caller.principal, call, accesses, may } as Grant;
  }

  /** The projects in all of which the caller has the permission, for listings across projects. */
  async readable(caller: Caller, permission: Permission): Promise<ProjectId[]> {
    const prefix = projectResource("" as ProjectId);
    const projects: ProjectId[] = [];
    for (const { resource } of await this.#database.read(allPolicies())) {
      if (!resource.startsWith(prefix)) continue;
      const project = resource.slice(prefix.length) as ProjectId;
      if (await this.#holds(caller.principal, permission, project)) projects.push(project);
    }
    return projects;
  }

  async #refusal(caller: Caller, { permission, resource, project }: Access): Promise<Refusal["refused"] | undefined> {
    if (!(await this.#holds(caller.principal, permission, project))) {
      return caller.principal === anonymous ? "anonymous" : "policy";
    }
    if (!withinBounds(caller, permission, resource)) return "bounds";
    // A credential for a name does not reach a project that took the name later.
    const createdAt = await this.#projectCreatedAt(project);
    if (createdAt === undefined || (caller.issuedAt !== 0 && caller.issuedAt < createdAt)) return "bounds";
    return undefined;
  }

  /** An owner of a project holds every permission in it. */
  async #holds(principal: Principal, _permission: Permission, project: ProjectId): Promise<boolean> {
    const bindings = await this.#policies.bindings(projectResource(project));
    return bindings.some(({ role, members }) => role === "roles/owner" && members.includes(principal));
  }
}

export function isRefusal(decision: Grant | Refusal): decision is Refusal {
  return "refused" in decision;
}
