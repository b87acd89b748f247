import type { Database } from "../metadata/database.ts";
import { all, first, inList, type Steps } from "../metadata/statement.ts";
import { findRepositoryId } from "./repository.ts";

/** How far is looked: indexes in one another and subjects of referrers, manifests at each step, tags in all. */
const maxDepth = 5;
const maxManifests = 10_000;
const maxTags = 10_000;
/** Manifests of one statement. */
const chunk = 500;

/** What is reached from a tag: a manifest by its digest, or a layer or config of one. */
export interface Reached {
  kind: "manifest" | "blob";
  digest: string;
}

/** Where in a registry it is looked for. */
export interface RepositoryPlace {
  registryId: number;
  store: string;
  name: string;
}

/**
 * The tags from which something is reached: of the manifest itself, of indexes that hold it, of the image that it
 * refers to, of the manifests that have a blob.
 */
export function leadingTags(database: Database, place: RepositoryPlace, reached: Reached): Promise<string[]> {
  return database.read(
    (function* () {
      const repository = yield* findRepositoryId(place.registryId, place.name);
      return repository === undefined ? [] : yield* tagsAbove(yield* manifestsOf(repository, place.store, reached));
    })(),
  );
}

function* manifestsOf(repository: number, store: string, { kind, digest }: Reached): Steps<number[]> {
  if (kind === "manifest") {
    const sql = "SELECT id FROM manifests WHERE repository_id = ? AND digest = ?";
    const row = yield* first<{ id: number }>(sql, repository, digest);
    return row === undefined ? [] : [row.id];
  }
  const rows = yield* all<{ id: number }>(
    `SELECT manifest_id AS id FROM manifest_blobs WHERE repository_id = ?
       AND blob_id = (SELECT id FROM blobs WHERE store = ? AND digest = ?) LIMIT ?`,
    repository,
    store,
    digest,
    maxManifests,
  );
  return rows.map(({ id }) => id);
}

function* tagsAbove(manifests: number[]): Steps<string[]> {
  const seen = new Set<number>();
  const tags = new Set<string>();
  let level = manifests;
  for (let depth = 0; level.length > 0 && depth < maxDepth; depth++) {
    for (const id of level) seen.add(id);
    const above = new Set<number>();
    for (let at = 0; at < level.length && tags.size < maxTags; at += chunk) {
      const { marks, padded } = inList(level.slice(at, at + chunk));
      const sql = `SELECT name FROM tags WHERE manifest_id IN (${marks}) LIMIT ?`;
      for (const { name } of yield* all<{ name: string }>(sql, ...padded, maxTags)) tags.add(name);
      const parents = yield* all<{ id: number }>(
        `SELECT parent_id AS id FROM manifest_children WHERE child_id IN (${marks})
         UNION SELECT s.id FROM manifests m JOIN manifests s ON s.repository_id = m.repository_id AND s.digest = m.subject_digest
           WHERE m.id IN (${marks}) LIMIT ?`,
        ...padded,
        ...padded,
        maxManifests,
      );
      for (const { id } of parents) if (!seen.has(id)) above.add(id);
    }
    level = [...above].slice(0, maxManifests);
  }
  return [...tags];
}
