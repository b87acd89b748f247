import { type Binding, setPolicy } from "../access/policies.ts";
import { bumpVersion, type Freshness } from "../metadata/freshness.ts";
import { command, type Database } from "../metadata/database.ts";
import { run } from "../metadata/statement.ts";
import { type ProjectId } from "../names/reference.ts";
import { projectResource } from "../names/resources.ts";

export interface Project {
  id: ProjectId;
  /** Twelve digits, as Resource Manager gives them. */
  number: string;
  createdAt: number;
}

interface NewProject {
  id: ProjectId;
  number: string;
  displayName: string;
  bindings: Binding[];
  etag: string;
  now: number;
}

/** Makes a project together with its policy. */
export const createProject = command("projects.create", function* (input: NewProject) {
  yield* run(
    "INSERT INTO projects (id, number, display_name, created_at) VALUES (?, ?, ?, ?)",
    input.id,
    input.number,
    input.displayName,
    input.now,
  );
  yield* setPolicy(projectResource(input.id), input.bindings, input.etag);
  yield* bumpVersion("projects");
});

/** The projects, each read once and kept until any of them changes. */
export class Projects {
  readonly #database: Database;
  readonly #cache = new Map<ProjectId, Project>();

  constructor(database: Database, freshness: Freshness) {
    this.#database = database;
    freshness.whenChanged("projects", () => this.#cache.clear());
  }

  async find(id: ProjectId): Promise<Project | undefined> {
    const known = this.#cache.get(id);
    if (known !== undefined) return known;
    const row = await this.#database.readRow<{ number: string; created_at: number }>(
      "SELECT number, created_at FROM projects WHERE id = ?",
      id,
    );
    if (row === undefined) return undefined;
    const project = { id, number: row.number, createdAt: row.created_at };
    this.#cache.set(id, project);
    return project;
  }
}
