import { all, first, inList, type Steps } from "../metadata/statement.ts";
import { findRepositoryId, type RegistryRef, type Repository } from "./repository.ts";

/** The id of the repository, if anything was ever pushed to it. */
export async function repositoryId({ database, registry, name }: Repository): Promise<number | undefined> {
  return database.read(findRepositoryId(registry.id, name));
}

/** The tags after `last` in byte order, at most `limit`. */
export async function listTags({ database }: Repository, id: number, last: string, limit: number): Promise<string[]> {
  const rows = await database.read(
    all<{ name: string }>(
      "SELECT name FROM tags WHERE repository_id = ? AND name > ? ORDER BY name LIMIT ?",
      id,
      last,
      limit,
    ),
  );
  return rows.map((row) => row.name);
}

export interface ListedManifest {
  digest: string;
  mediaType: string;
  imageSize: number;
  imageCreatedAt: number;
  pushedAt: number;
  tags: string[];
}

/** The manifests after the digest `last`, at most `limit`, each with its tags. */
export async function listManifests(
  { database }: Repository,
  id: number,
  last: string,
  limit: number,
): Promise<ListedManifest[]> {
  return database.read(manifestsWithTags(id, last, limit));
}

function* manifestsWithTags(id: number, last: string, limit: number): Steps<ListedManifest[]> {
  const rows = yield* all<Omit<ListedManifest, "tags"> & { id: number }>(
    `SELECT id, digest, media_type AS mediaType, image_size AS imageSize, image_created_at AS imageCreatedAt,
       pushed_at AS pushedAt FROM manifests WHERE repository_id = ? AND digest > ? ORDER BY digest LIMIT ?`,
    id,
    last,
    limit,
  );
  if (rows.length === 0) return [];
  const ids = inList(rows.map((row) => row.id));
  const tags = yield* all<{ manifest_id: number; name: string }>(
    `SELECT manifest_id, name FROM tags WHERE manifest_id IN (${ids.marks}) ORDER BY manifest_id, name`,
    ...ids.padded,
  );
  const byManifest = Map.groupBy(tags, (tag) => tag.manifest_id);
  return rows.map(({ id: manifestId, ...manifest }) => ({
    ...manifest,
    tags: (byManifest.get(manifestId) ?? []).map((tag) => tag.name),
  }));
}

/**
 * The next path segments below a repository or a project's root, in order: one seek for each, however many
 * repositories lie deeper. As in the catalog, a repository without a manifest, such as an upload that was given up
 * leaves, is none.
 */
export function* childSegments(registryId: number, path: string): Steps<string[]> {
  const prefix = `${path}/`;
  const end = `${path}0`; // '0' is the character after '/'
  const segments: string[] = [];
  for (let from = prefix; ;) {
    const row = yield* first<{ name: string }>(
      `SELECT r.name FROM repositories r WHERE r.registry_id = ? AND r.name >= ? AND r.name < ?
       AND EXISTS (SELECT 1 FROM manifests m WHERE m.repository_id = r.id) ORDER BY r.name LIMIT 1`,
      registryId,
      from,
      end,
    );
    if (row === undefined) return [...new Set(segments)].sort();
    const segment = row.name.slice(prefix.length).split("/", 1)[0] as string;
    segments.push(segment);
    // Past the whole subtree when the segment itself was met below it; past the name alone otherwise, for which '!'
    // stands, the smallest character that a name cannot hold.
    from = `${prefix}${segment}${row.name.length > prefix.length + segment.length ? "0" : "!"}`;
  }
}

export async function listChildren({ database, registry, name }: Repository): Promise<string[]> {
  return database.read(childSegments(registry.id, name));
}

/** The repositories of a registry that hold a manifest, after `last` in byte order, at most `limit`. */
export function* repositoryNames(registry: RegistryRef, last: string, limit: number): Steps<string[]> {
  const rows = yield* all<{ name: string }>(
    `SELECT r.name FROM repositories r WHERE r.registry_id = ? AND r.name > ?
     AND EXISTS (SELECT 1 FROM manifests m WHERE m.repository_id = r.id) ORDER BY r.name LIMIT ?`,
    registry.id,
    last,
    limit,
  );
  return rows.map((row) => row.name);
}
