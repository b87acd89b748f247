import { type Actor, recordChange } from "../access/audit/audit-log.ts";
import { bucketBindings } from "../access/iam/bucket-bindings.ts";
import { writePolicy } from "../access/policies.ts";
import { FreshCache } from "../metadata/fresh-cache.ts";
import { bumpVersion, type Freshness } from "../metadata/freshness.ts";
import { command, type Database } from "../metadata/database.ts";
import { all, first } from "../metadata/statement.ts";
import { appendEvent } from "../operations/outbox.ts";
import { bucketName } from "../names/buckets.ts";
import { type ProjectId } from "../names/reference.ts";
import { bucketResource } from "../names/resources.ts";

/** The images of one project on one host. */
export interface Registry {
  id: number;
  host: string;
  project: ProjectId;
  bucket: string;
  /** The blob store that holds its bytes. */
  store: string;
  createdAt: number;
}

interface RegistryRow {
  id: number;
  host: string;
  project_id: ProjectId;
  bucket: string;
  store: string;
  created_at: number;
}

interface NewRegistry {
  host: string;
  project: ProjectId;
  store: string;
  /** Of the new bucket's policy. */
  etag: string;
  actor: Actor;
  now: number;
}

/** Makes the registry of a project on a host, with its bucket's first policy, unless it is there. */
export const ensureRegistry = command("projects.ensureRegistry", function* (input: NewRegistry) {
  const bucket = bucketName(input.host, input.project);
  const made = yield* first<{ id: number }>(
    `INSERT INTO registries (host, project_id, bucket, store, created_at) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (host, project_id) DO NOTHING RETURNING id`,
    input.host,
    input.project,
    bucket,
    input.store,
    input.now,
  );
  if (made === undefined) return;
  yield* bumpVersion("projects");
  const bindings = bucketBindings(input.project);
  yield* writePolicy(bucketResource(bucket), { etag: input.etag, bindings, auditConfigs: [] });
  yield* recordChange(input.actor, bucketResource(bucket), { project: input.project, host: input.host }, input.now);
  yield* appendEvent(made.id, { kind: "registry.created", host: input.host, project: input.project }, input.now);
});

const columns = "id, host, project_id, bucket, store, created_at";

/** The registries, each read once and kept until any of them changes. */
export class Registries {
  readonly #database: Database;
  readonly #cache: FreshCache<string, Registry>;

  constructor(database: Database, freshness: Freshness) {
    this.#database = database;
    this.#cache = new FreshCache(freshness, "projects");
  }

  async find(host: string, project: ProjectId): Promise<Registry | undefined> {
    return this.#cache.find(`${host}/${project}`, async () => {
      const row = await this.#database.readRow<RegistryRow>(
        `SELECT ${columns} FROM registries WHERE host = ? AND project_id = ?`,
        host,
        project,
      );
      return row && fromRow(row);
    });
  }

  async findByBucket(bucket: string): Promise<Registry | undefined> {
    const row = await this.#database.readRow<RegistryRow>(`SELECT ${columns} FROM registries WHERE bucket = ?`, bucket);
    return row === undefined ? undefined : fromRow(row);
  }

  /** A project's registries, in the order of their buckets' names. */
  async ofProject(project: ProjectId): Promise<Registry[]> {
    const rows = await this.#database.read(
      all<RegistryRow>(`SELECT ${columns} FROM registries WHERE project_id = ? ORDER BY bucket`, project),
    );
    return rows.map(fromRow);
  }

  /** All registries on a host. */
  async onHost(host: string): Promise<Registry[]> {
    const rows = await this.#database.read(all<RegistryRow>(`SELECT ${columns} FROM registries WHERE host = ?`, host));
    return rows.map(fromRow);
  }
}

function fromRow({ id, host, project_id, bucket, store, created_at }: RegistryRow): Registry {
  return { id, host, project: project_id, bucket, store, createdAt: created_at };
}
