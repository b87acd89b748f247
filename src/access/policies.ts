import type { Database } from "../metadata/database.ts";
import { all, run, type Steps } from "../metadata/statement.ts";
import type { Principal } from "../names/principals.ts";
import type { ResourceName } from "../names/resources.ts";
import { bumpVersion, type Freshness } from "../metadata/freshness.ts";

/** [IAM, "Policy"] */
export interface Binding {
  role: string;
  members: Principal[];
}

/** The policies of resources, read once and kept until any policy changes. */
export class Policies {
  readonly #database: Database;
  readonly #cache = new Map<ResourceName, readonly Binding[]>();

  constructor(database: Database, freshness: Freshness) {
    this.#database = database;
    freshness.whenChanged("access", () => this.#cache.clear());
  }

  async bindings(resource: ResourceName): Promise<readonly Binding[]> {
    const known = this.#cache.get(resource);
    if (known !== undefined) return known;
    const row = await this.#database.readRow<{ bindings: string }>(
      "SELECT bindings FROM policies WHERE resource = ?",
      resource,
    );
    const bindings = row === undefined ? [] : (JSON.parse(row.bindings) as Binding[]);
    // A stranger's requests for projects that do not exist must not fill the cache.
    if (row !== undefined) this.#cache.set(resource, bindings);
    return bindings;
  }
}

export function* setPolicy(resource: ResourceName, bindings: readonly Binding[], etag: string): Steps<void> {
  yield* run(
    `INSERT INTO policies (resource, etag, bindings) VALUES (?, ?, ?)
     ON CONFLICT (resource) DO UPDATE SET etag = excluded.etag, bindings = excluded.bindings`,
    resource,
    etag,
    JSON.stringify(bindings),
  );
  yield* bumpVersion("access");
}

/** Every policy there is, with its resource. */
export function* allPolicies(): Steps<{ resource: ResourceName; bindings: Binding[] }[]> {
  const rows = yield* all<{ resource: string; bindings: string }>("SELECT resource, bindings FROM policies");
  return rows.map(({ resource, bindings }) => ({ resource, bindings: JSON.parse(bindings) as Binding[] }));
}
