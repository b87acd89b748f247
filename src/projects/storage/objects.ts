import type { Access } from "../../access/access-control.ts";
import { type ApiCall, type ApiRoute, apiRoute } from "../../access/api-route.ts";
import type { BlobStore, StorageKey } from "../../blobs/blob-store.ts";
import { ApiError } from "../../http/api-error.ts";
import { pageSizeOf } from "../../http/page-size.ts";
import { requestedRange } from "../../http/ranges.ts";
import type { ContentCache } from "../../images/content-cache.ts";
import { readPayload } from "../../images/manifests.ts";
import { sendBlob } from "../../images/send-blob.ts";
import { all } from "../../metadata/statement.ts";
import { manifestResource, repositoryResource } from "../../names/resources.ts";
import type { Registry } from "../registries.ts";
import { bucketNeeds, requireBucket, service, type StorageRooms } from "./buckets.ts";
import { listObjects, type StoredObject } from "./list-objects.ts";
import { type ObjectName, parseObjectName } from "./object-names.ts";

interface ObjectRooms extends StorageRooms {
  stores: ReadonlyMap<string, BlobStore>;
  cache: ContentCache;
}

const largestPage = 1000;

/**
 * What is in a registry's bucket, to be read: layers, configs, manifests, tags, under the names that Container
 * Registry gave them. They change by pushes and deletes alone. [Cloud Storage JSON API v1, objects]
 */
export function objectRoutes(rooms: ObjectRooms): ApiRoute[] {
  const path = "/storage/v1/b/{bucket}/o";
  const get = (prefix: string, media: "asked" | "always"): ApiRoute =>
    apiRoute({
      id: "storage.objects.get",
      service,
      method: "GET",
      path: `${prefix}${path}/{object=**}`,
      needs: (call) => objectNeeds(rooms, call),
      async handle(call) {
        const registry = await requireBucket(rooms, call);
        const found = await findObject(rooms, registry, call.path.object as string);
        if (found === undefined) {
          throw new ApiError("NOT_FOUND", `No such object: ${registry.bucket}/${call.path.object?.slice(0, 300)}`);
        }
        if (media === "asked" && call.query.get("alt") !== "media") return viewObject(found, registry, call);
        return sendObject(rooms, registry, found, call);
      },
    });
  return [
    apiRoute({
      id: "storage.objects.list",
      service,
      method: "GET",
      path,
      needs: bucketNeeds(rooms)("storage.objects.list"),
      handle: async (call) => list(rooms, await requireBucket(rooms, call), call),
    }),
    get("", "asked"),
    // Where Google's libraries send for media.
    get("/download", "always"),
  ];
}

async function list(rooms: ObjectRooms, registry: Registry, call: ApiCall): Promise<object> {
  const { query } = call;
  const delimiter = query.get("delimiter") ?? "";
  if (delimiter !== "" && delimiter !== "/") throw new ApiError("INVALID_ARGUMENT", "delimiter: only / is one here.");
  const offset = query.get("startOffset") ?? "";
  const token = Buffer.from(query.get("pageToken") ?? "", "base64url").toString("utf8");
  const size = pageSizeOf(query, { usual: largestPage, largest: largestPage }, "maxResults");
  const page = await listObjects(rooms.database, registry, {
    prefix: query.get("prefix") ?? "",
    byDirectory: delimiter === "/",
    from: token > offset ? token : offset,
    to: query.get("endOffset") ?? undefined,
    limit: size,
    isVisible: await visibility(rooms, registry, call),
  });
  return {
    kind: "storage#objects",
    ...(page.next !== undefined && { nextPageToken: Buffer.from(page.next).toString("base64url") }),
    ...(page.prefixes.length > 0 && { prefixes: page.prefixes }),
    ...(page.objects.length > 0 && { items: page.objects.map((object) => viewObject(object, registry, call)) }),
  };
}

/**
 * What a caller whose rights hang on conditions is shown: manifests and tags of repositories that the conditions let be
 * listed, and layers that are in one of these. `undefined`: everything.
 */
async function visibility(
  rooms: ObjectRooms,
  registry: Registry,
  { caller }: ApiCall,
): Promise<((object: StoredObject) => Promise<boolean>) | undefined> {
  const { bucket, project } = registry;
  const listing = (repository: string): Access => ({
    permission: "storage.objects.list",
    resource: repositoryResource(bucket, repository),
    project,
  });
  if ((await rooms.access.reach(caller, listing("*"))) === "all") return undefined;
  const isAllowed = rooms.access.questions(caller);
  const known = new Map<string, Promise<boolean>>();
  const isOpen = (repository: string): Promise<boolean> => {
    let open = known.get(repository);
    if (open === undefined) known.set(repository, (open = isAllowed(listing(repository))));
    return open;
  };
  return async ({ name: object }) => {
    const name = parseObjectName(object, project);
    if (name === undefined) return false;
    if (name.kind !== "blob") return isOpen(name.repository);
    for (const repository of await repositoriesOf(rooms, registry, name)) if (await isOpen(repository)) return true;
    return false;
  };
}

/**
 * The right to read an object: a manifest's is its own, as when it is pulled. A layer may be in several repositories,
 * and to read it in one of them is enough.
 */
async function objectNeeds(rooms: ObjectRooms, call: ApiCall): Promise<Access[]> {
  const [onBucket] = (await bucketNeeds(rooms)("storage.objects.get")(call)) as [Access];
  const registry = await rooms.registries.findByBucket(call.path.bucket as string);
  const name = registry && parseObjectName(call.path.object as string, registry.project);
  if (registry === undefined || name === undefined) return [onBucket];
  if (name.kind !== "blob") {
    const repository = repositoryResource(registry.bucket, name.repository);
    return [{ ...onBucket, resource: manifestResource(repository, name.kind === "tag" ? name.tag : name.digest) }];
  }
  const anywhere = { ...onBucket, resource: repositoryResource(registry.bucket, "*") };
  if ((await rooms.access.reach(call.caller, anywhere)) !== "some") return [anywhere];
  const isAllowed = rooms.access.questions(call.caller);
  for (const repository of await repositoriesOf(rooms, registry, name)) {
    const access = { ...onBucket, resource: repositoryResource(registry.bucket, repository) };
    if (await isAllowed(access)) return [access];
  }
  return [anywhere];
}

/** Repositories that are asked about for one layer. */
const maxRepositories = 10_000;

async function repositoriesOf(
  { database }: ObjectRooms,
  { id, store }: Registry,
  { digest }: Extract<ObjectName, { kind: "blob" }>,
): Promise<string[]> {
  const rows = await database.read(
    all<{ name: string }>(
      `SELECT r.name FROM blobs b JOIN blob_links l ON l.blob_id = b.id AND l.registry_id = ?
         JOIN repositories r ON r.id = l.repository_id WHERE b.store = ? AND b.digest = ? LIMIT ?`,
      id,
      store,
      digest,
      maxRepositories,
    ),
  );
  return rows.map(({ name }) => name);
}

type FoundObject = StoredObject & ({ kind: "blob"; key: StorageKey } | { kind: "manifest"; id: number });

async function findObject(rooms: ObjectRooms, registry: Registry, object: string): Promise<FoundObject | undefined> {
  const name = parseObjectName(object, registry.project);
  if (name?.kind !== "blob") return name && findManifest(rooms, registry, object, name);
  const row = await rooms.database.readRow<{ size: number; key: StorageKey; createdAt: number }>(
    `SELECT size, storage_key AS key, created_at AS createdAt FROM blobs b WHERE store = ? AND digest = ?
       AND EXISTS (SELECT 1 FROM blob_links l WHERE l.blob_id = b.id AND l.registry_id = ?)`,
    registry.store,
    name.digest,
    registry.id,
  );
  const contentType = "application/octet-stream";
  return row && { kind: "blob", name: object, digest: name.digest, contentType, ...row };
}

async function findManifest(
  { database }: ObjectRooms,
  registry: Registry,
  object: string,
  name: Exclude<ObjectName, { kind: "blob" }>,
): Promise<FoundObject | undefined> {
  const columns = "m.id, m.digest, m.size, m.media_type AS contentType";
  const repository = "(SELECT id FROM repositories WHERE registry_id = ? AND name = ?)";
  const sql =
    name.kind === "tag"
      ? `SELECT ${columns}, t.updated_at AS createdAt FROM tags t JOIN manifests m ON m.id = t.manifest_id
           WHERE t.repository_id = ${repository} AND t.name = ?`
      : `SELECT ${columns}, m.pushed_at AS createdAt FROM manifests m WHERE m.repository_id = ${repository} AND m.digest = ?`;
  const row = await database.readRow<Omit<StoredObject, "name"> & { id: number }>(
    sql,
    registry.id,
    name.repository,
    name.kind === "tag" ? name.tag : name.digest,
  );
  return row && { kind: "manifest", name: object, ...row };
}

async function sendObject(
  rooms: ObjectRooms,
  registry: Registry,
  object: FoundObject,
  { headers: request }: ApiCall,
): Promise<Response> {
  const headers = {
    "content-type": object.contentType,
    "content-disposition": "attachment",
    "accept-ranges": "bytes",
    etag: `"${object.digest}"`,
    "x-goog-generation": generationOf(object),
    "x-goog-metageneration": "1",
    "x-goog-stored-content-length": String(object.size),
  };
  const range = requestedRange(request, headers.etag, object.size);
  if (range === "unsatisfiable") {
    return new Response(null, { status: 416, headers: { "content-range": `bytes */${object.size}` } });
  }
  if (object.kind === "blob") {
    const store = rooms.stores.get(registry.store);
    if (store === undefined) throw new Error(`the store "${registry.store}" is not configured`);
    return sendBlob({ store, cache: rooms.cache }, object, range, headers);
  }
  const payload = await readPayload(rooms, object);
  if (payload === undefined) throw new ApiError("NOT_FOUND", `No such object: ${registry.bucket}/${object.name}`);
  if (range === undefined) return new Response(payload, { headers });
  const partial = { ...headers, "content-range": `bytes ${range.first}-${range.last}/${object.size}` };
  return new Response(payload.subarray(range.first, range.last + 1), { status: 206, headers: partial });
}

/** A generation is a time in µs, as Cloud Storage's are. */
function generationOf({ createdAt }: StoredObject): string {
  return String(createdAt * 1000);
}

function viewObject(object: StoredObject, { bucket }: Registry, { server }: ApiCall): object {
  const { name, digest, size, contentType, createdAt } = object;
  const time = new Date(createdAt).toISOString();
  const link = `/storage/v1/b/${bucket}/o/${encodeURIComponent(name)}`;
  const generation = generationOf(object);
  return {
    kind: "storage#object",
    id: `${bucket}/${name}/${generation}`,
    selfLink: server + link,
    mediaLink: `${server}/download${link}?generation=${generation}&alt=media`,
    name,
    bucket,
    generation,
    metageneration: "1",
    contentType,
    storageClass: "STANDARD",
    size: String(size),
    timeCreated: time,
    updated: time,
    timeStorageClassUpdated: time,
    etag: digest,
    metadata: { digest },
  };
}
