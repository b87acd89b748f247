import type { Database } from "../../metadata/database.ts";
import { all, first, type Steps } from "../../metadata/statement.ts";
import type { Digest } from "../../names/digest.ts";
import { projectPath } from "../../names/reference.ts";
import type { Registry } from "../registries.ts";
import { images, repositories } from "./object-names.ts";

/** An object as a listing shows it. */
export interface StoredObject {
  name: string;
  digest: Digest;
  size: number;
  contentType: string;
  /** In ms. */
  createdAt: number;
}

export interface ListRequest {
  prefix: string;
  /** Whether what lies below the next slash is shown as one prefix. */
  byDirectory: boolean;
  /** The first name that may be shown; those from `to` on are not. */
  from: string;
  to: string | undefined;
  limit: number;
  /** Whether an object may be shown; `undefined`: all may. */
  isVisible?: ((object: StoredObject) => Promise<boolean>) | undefined;
}

export interface ObjectPage {
  objects: StoredObject[];
  prefixes: string[];
  /** Where the next page begins; `undefined` after the last. */
  next: string | undefined;
}

/** Rows that are read at a time. */
const batch = 200;

/** The objects of a registry's bucket in the order of their names, those of one page. */
export async function listObjects(database: Database, registry: Registry, request: ListRequest): Promise<ObjectPage> {
  const { prefix, byDirectory, to, limit, isVisible } = request;
  const page: ObjectPage = { objects: [], prefixes: [], next: undefined };
  let from: string | undefined = request.from > prefix ? request.from : prefix;
  while (from !== undefined) {
    const begin: string = from;
    from = undefined;
    for await (const object of objectsFrom(database, registry, begin)) {
      if (!object.name.startsWith(prefix) || (to !== undefined && object.name >= to)) return page;
      if (isVisible !== undefined && !(await isVisible(object))) continue;
      if (page.objects.length + page.prefixes.length === limit) return { ...page, next: object.name };
      const slash = byDirectory ? object.name.indexOf("/", prefix.length) : -1;
      if (slash < 0) {
        page.objects.push(object);
      } else {
        const directory = object.name.slice(0, slash + 1);
        page.prefixes.push(directory);
        from = after(directory);
        break;
      }
    }
  }
  return page;
}

/** The least text above all that begin with `directory`, which ends in a slash. */
function after(directory: string): string {
  return `${directory.slice(0, -1)}0`;
}

async function* objectsFrom(database: Database, registry: Registry, from: string): AsyncGenerator<StoredObject> {
  if (from < after(images)) yield* blobsFrom(database, registry, from);
  const root = `${projectPath(registry.project)}/`;
  // Repositories are stored with their project, objects are named without.
  const start =
    root + (from <= repositories ? "" : from.startsWith(repositories) ? from.slice(repositories.length) : "\u{10ffff}");
  for await (const object of walk(database, registry.id, root, start)) {
    yield { ...object, name: repositories + object.name.slice(root.length) };
  }
}

/** Blobs of a registry that are put in order at once; of more, it is cheaper to look among all of the store's. */
const fewBlobs = 20_000;

interface BlobRow {
  digest: Digest;
  size: number;
  createdAt: number;
}

async function* blobsFrom(database: Database, registry: Registry, from: string): AsyncGenerator<StoredObject> {
  const digest = from.startsWith(images) ? from.slice(images.length) : "";
  const few = await database.read(fewOf(registry.id));
  const rows = few?.sort(byDigest) ?? scanBlobs(database, registry, digest);
  for await (const row of rows) {
    if (row.digest < digest) continue;
    yield { ...row, name: images + row.digest, contentType: "application/octet-stream" };
  }
}

/** All blobs of a registry; `undefined` where its repositories link to too many, which is found out by counting so far. */
function* fewOf(registry: number): Steps<BlobRow[] | undefined> {
  const links = `SELECT l.blob_id FROM repositories r JOIN blob_links l ON l.repository_id = r.id
    WHERE r.registry_id = ? LIMIT ${fewBlobs + 1}`;
  const counted = yield* first<{ n: number }>(`SELECT count(*) AS n FROM (${links}) AS few`, registry);
  if ((counted?.n ?? 0) > fewBlobs) return undefined;
  return yield* all<BlobRow>(
    `SELECT b.digest, b.size, b.created_at AS createdAt FROM blobs b WHERE b.id IN (${links})`,
    registry,
  );
}

function byDigest(a: BlobRow, b: BlobRow): number {
  return a.digest < b.digest ? -1 : 1;
}

/** The blobs of a store that the registry has a link to, in their order. */
async function* scanBlobs(database: Database, { id, store }: Registry, from: string): AsyncGenerator<BlobRow> {
  let least: Least = { sign: ">=", value: from };
  for (;;) {
    const rows = await database.read(
      all<BlobRow>(
        `SELECT b.digest, b.size, b.created_at AS createdAt FROM blobs b WHERE b.store = ? AND b.digest ${least.sign} ?
           AND EXISTS (SELECT 1 FROM blob_links l WHERE l.blob_id = b.id AND l.registry_id = ?)
           ORDER BY b.digest LIMIT ?`,
        store,
        least.value,
        id,
        batch,
      ),
    );
    yield* rows;
    const last = rows.at(-1);
    if (rows.length < batch || last === undefined) return;
    least = { sign: ">", value: last.digest };
  }
}

/** Where a batch begins: at a value, or after one. */
interface Least {
  sign: ">" | ">=";
  value: string;
}

/** What a directory holds: repositories below it, and its own manifests and tags if it is a repository itself. */
type Entry = { name: string; object: StoredObject | undefined };

/**
 * Walks the tree that the names of repositories are, in the order of the objects' names, from `from` on.
 * @param directory a path that ends in a slash
 */
async function* walk(
  database: Database,
  registry: number,
  directory: string,
  from: string,
): AsyncGenerator<StoredObject> {
  if (from >= after(directory)) return;
  const rest = from > directory ? from.slice(directory.length) : "";
  const repository = await database.readRow<{ id: number }>(
    "SELECT id FROM repositories WHERE registry_id = ? AND name = ?",
    registry,
    directory.slice(0, -1),
  );
  const entries = [directoriesFrom(database, registry, directory, rest)];
  if (repository !== undefined) {
    entries.push(
      manifestsFrom(database, repository.id, directory, rest),
      tagsFrom(database, repository.id, directory, rest),
    );
  }
  for await (const { name, object } of merge(entries)) {
    if (object === undefined) yield* walk(database, registry, name, from);
    else yield object;
  }
}

/** The next segments of names of repositories, each with its slash: the index on them is in that order. */
async function* directoriesFrom(
  database: Database,
  registry: number,
  directory: string,
  rest: string,
): AsyncGenerator<Entry> {
  let least = directory + (rest.includes("/") ? rest.slice(0, rest.indexOf("/") + 1) : rest);
  for (;;) {
    const row = await database.readRow<{ path: string }>(
      `SELECT name || '/' AS path FROM repositories WHERE registry_id = ? AND name || '/' >= ? AND name || '/' < ?
         ORDER BY name || '/' LIMIT 1`,
      registry,
      // The directory itself is no directory in it.
      least === directory ? `${directory}\u{1}` : least,
      after(directory),
    );
    if (row === undefined) return;
    const name = row.path.slice(0, row.path.indexOf("/", directory.length) + 1);
    yield { name, object: undefined };
    least = after(name);
  }
}

async function* manifestsFrom(
  database: Database,
  repository: number,
  directory: string,
  rest: string,
): AsyncGenerator<Entry> {
  const kind = "manifest_";
  let least: Least = { sign: ">=", value: rest.startsWith(kind) ? rest.slice(kind.length) : "" };
  if (rest > kind && !rest.startsWith(kind)) return;
  for (;;) {
    const rows = await database.read(
      all<Omit<StoredObject, "name">>(
        `SELECT digest, size, media_type AS contentType, pushed_at AS createdAt FROM manifests
           WHERE repository_id = ? AND digest ${least.sign} ? ORDER BY digest LIMIT ?`,
        repository,
        least.value,
        batch,
      ),
    );
    yield* rows.map((row) => entry({ ...row, name: `${directory}${kind}${row.digest}` }));
    const last = rows.at(-1);
    if (rows.length < batch || last === undefined) return;
    least = { sign: ">", value: last.digest };
  }
}

async function* tagsFrom(
  database: Database,
  repository: number,
  directory: string,
  rest: string,
): AsyncGenerator<Entry> {
  const kind = "tag_";
  let least: Least = { sign: ">=", value: rest.startsWith(kind) ? rest.slice(kind.length) : "" };
  if (rest > kind && !rest.startsWith(kind)) return;
  for (;;) {
    const rows = await database.read(
      all<Omit<StoredObject, "name"> & { tag: string }>(
        `SELECT t.name AS tag, m.digest, m.size, m.media_type AS contentType, t.updated_at AS createdAt
           FROM tags t JOIN manifests m ON m.id = t.manifest_id
           WHERE t.repository_id = ? AND t.name ${least.sign} ? ORDER BY t.name LIMIT ?`,
        repository,
        least.value,
        batch,
      ),
    );
    yield* rows.map(({ tag: name, ...row }) => entry({ ...row, name: `${directory}${kind}${name}` }));
    const last = rows.at(-1);
    if (rows.length < batch || last === undefined) return;
    least = { sign: ">", value: last.tag };
  }
}

function entry(object: StoredObject): Entry {
  return { name: object.name, object };
}

/** Several sequences in order as one. */
async function* merge(sequences: readonly AsyncGenerator<Entry>[]): AsyncGenerator<Entry> {
  const heads = await Promise.all(sequences.map(async (sequence) => ({ sequence, next: await sequence.next() })));
  for (;;) {
    let least: (typeof heads)[number] | undefined;
    for (const head of heads) {
      if (head.next.done === true) continue;
      if (least === undefined || head.next.value.name < (least.next.value as Entry).name) least = head;
    }
    if (least === undefined) return;
    yield least.next.value as Entry;
    least.next = await least.sequence.next();
  }
}
