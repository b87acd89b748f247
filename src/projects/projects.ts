import type { ProjectState } from "../access/access-control.ts";
import { type Actor, recordChange } from "../access/audit/audit-log.ts";
import type { Binding } from "../access/iam/policy.ts";
import { writePolicy } from "../access/policies.ts";
import { agentRole, serviceAgent } from "../identity/service-agent.ts";
import { disabledServices } from "./services.ts";
import { FreshCache } from "../metadata/fresh-cache.ts";
import { bumpVersion, type Freshness } from "../metadata/freshness.ts";
import { command, type Database } from "../metadata/database.ts";
import { first, run, type Steps } from "../metadata/statement.ts";
import type { Principal } from "../names/principals.ts";
import type { ProjectId } from "../names/reference.ts";
import { projectResource } from "../names/resources.ts";

/** [Resource Manager, "Project"] */
export interface Project {
  id: ProjectId;
  /** Twelve digits, as Resource Manager gives them. */
  number: string;
  displayName: string;
  organization: string;
  labels: Record<string, string>;
  createdAt: number;
  /** Credentials made before do not reach it: its id was another project's. 0 for an id that is new. */
  credentialsSince: number;
  updatedAt: number;
  /** When its deletion was requested; `undefined` while it is active. */
  deleteRequestedAt: number | undefined;
}

interface ProjectRow {
  id: ProjectId;
  number: string;
  display_name: string;
  organization_id: string | null;
  labels: string;
  created_at: number;
  credentials_since: number;
  updated_at: number;
  delete_requested_at: number | null;
}

export const projectColumns =
  "id, number, display_name, organization_id, labels, created_at, credentials_since, updated_at, delete_requested_at";

export function projectFromRow(row: ProjectRow): Project {
  return {
    id: row.id,
    number: row.number,
    displayName: row.display_name,
    organization: row.organization_id ?? "",
    labels: JSON.parse(row.labels) as Record<string, string>,
    createdAt: row.created_at,
    credentialsSince: row.credentials_since,
    updatedAt: row.updated_at,
    deleteRequestedAt: row.delete_requested_at ?? undefined,
  };
}

interface NewProject {
  id: ProjectId;
  number: string;
  displayName: string;
  organization: string;
  labels?: Record<string, string>;
  /** Who owns it. */
  owners: Principal[];
  etag: string;
  now: number;
}

/** A project with its policy: its owners, and the service agent's role. */
export function* insertProject(input: NewProject): Steps<void> {
  yield* run(
    `INSERT INTO projects
       (id, number, display_name, organization_id, labels, created_at, updated_at, credentials_since)
     VALUES (?, ?, ?, ?, ?, ?, ?, CASE WHEN EXISTS (SELECT 1 FROM retired_projects WHERE id = ?)
       THEN CAST(? AS BIGINT) ELSE 0 END)`,
    input.id,
    input.number,
    input.displayName,
    input.organization,
    JSON.stringify(input.labels ?? {}),
    input.now,
    input.now,
    input.id,
    input.now,
  );
  const bindings: Binding[] = [
    { role: agentRole, members: [serviceAgent(input.number)] },
    { role: "roles/owner", members: input.owners },
  ];
  yield* writePolicy(projectResource(input.id), { etag: input.etag, bindings, auditConfigs: [] });
  yield* bumpVersion("projects");
}

/** @returns whether it was made: an id is taken even while the project that has it is being deleted */
export const createProject = command("projects.create", function* (input: NewProject & { actor: Actor }) {
  const taken = yield* first("SELECT id FROM projects WHERE id = ? OR number = ?", input.id, input.number);
  if (taken !== undefined) return false;
  yield* insertProject(input);
  yield* recordChange(input.actor, projectResource(input.id), { project: input.id }, input.now);
  return true;
});

/** The projects, each read once and kept until any of them changes. */
export class Projects {
  readonly #database: Database;
  readonly #byId: FreshCache<ProjectId, Project>;
  readonly #disabled: FreshCache<ProjectId, ReadonlySet<string>>;
  readonly #organization: FreshCache<"", { id: string }>;

  constructor(database: Database, freshness: Freshness) {
    this.#database = database;
    this.#byId = new FreshCache(freshness, "projects");
    this.#disabled = new FreshCache(freshness, "projects");
    this.#organization = new FreshCache(freshness, "projects", 1);
  }

  async find(id: ProjectId): Promise<Project | undefined> {
    return this.#byId.find(id, () => this.#load("id", id));
  }

  async findByNumber(number: string): Promise<Project | undefined> {
    return this.#load("number", number);
  }

  /** Whether the project uses a service, as it does unless it switched it off. */
  async hasService(id: ProjectId, service: string): Promise<boolean> {
    const disabled = await this.#disabled.find(id, async () =>
      (await this.find(id)) === undefined ? undefined : this.#database.read(disabledServices(id)),
    );
    return disabled?.has(service) !== true;
  }

  async projectState(id: ProjectId): Promise<ProjectState | undefined> {
    const project = await this.find(id);
    if (project === undefined) return undefined;
    return { credentialsSince: project.credentialsSince, isDeleted: project.deleteRequestedAt !== undefined };
  }

  /** The id of the server's one organisation. */
  organization(): string | Promise<string> {
    return this.#organization.get("")?.id ?? this.#loadOrganization();
  }

  async #loadOrganization(): Promise<string> {
    const sql = "SELECT id FROM organizations LIMIT 1";
    return (await this.#organization.find("", () => this.#database.readRow<{ id: string }>(sql)))?.id ?? "";
  }

  async #load(column: "id" | "number", value: string): Promise<Project | undefined> {
    const row = await this.#database.readRow<ProjectRow>(
      `SELECT ${projectColumns} FROM projects WHERE ${column} = ?`,
      value,
    );
    return row === undefined ? undefined : projectFromRow(row);
  }
}
