import type { Access, Grant } from "../access/access-control.ts";
import { type Actor, actorOf } from "../access/audit/audit-log.ts";
import type { BlobStore } from "../blobs/blob-store.ts";
import { BerthError } from "../http/berth-error.ts";
import type { Database } from "../metadata/database.ts";
import { first, run, type Steps } from "../metadata/statement.ts";
import type { RepositoryName } from "../names/reference.ts";
import { repositoryResource, type ResourceName } from "../names/resources.ts";
import type { ContentCache } from "./content-cache.ts";

/** The registry that a repository is in, as far as its images need it. */
export interface RegistryRef {
  id: number;
  host: string;
  bucket: string;
  store: string;
}

export interface ImageLimits {
  manifestSize: number;
  uploadSize: number;
  openUploads: number;
  /** Whether an image may be pushed without its config and layers. */
  allowMissingBlobs: boolean;
}

/** What every repository is opened on. */
export interface ImageStores {
  database: Database;
  stores: ReadonlyMap<string, BlobStore>;
  cache: ContentCache;
  limits: ImageLimits;
  now: () => number;
}

/** One repository, opened for what a grant allows; the functions of this room work on it. */
export interface Repository extends ImageStores {
  registry: RegistryRef;
  name: RepositoryName;
  store: BlobStore;
  resource: ResourceName;
  actor: Actor;
  may: (access: Access) => Promise<boolean>;
}

export function openRepository(grant: Grant, on: ImageStores, registry: RegistryRef, name: RepositoryName): Repository {
  const store = on.stores.get(registry.store);
  if (store === undefined) {
    throw new Error(`the registry ${registry.bucket} is on the store "${registry.store}", which is not configured`);
  }
  const resource = repositoryResource(registry.bucket, name);
  return { ...on, registry, name, store, resource, actor: actorOf(grant), may: (access) => grant.may(access) };
}

/** The plain data that commands on a repository begin with. */
export interface RepositoryInput {
  registryId: number;
  host: string;
  store: string;
  name: string;
  resource: ResourceName;
  actor: Actor;
  now: number;
}

/** What commands on a repository have to themselves: see `Scope`. */
export const ofRepository = ({ registryId, name }: RepositoryInput): string => `${registryId}/${name}`;

export function commandInput(repository: Repository): RepositoryInput {
  const { registry, name, resource, actor } = repository;
  return {
    registryId: registry.id,
    host: registry.host,
    store: registry.store,
    name,
    resource,
    actor,
    now: repository.now(),
  };
}

export function* findRepositoryId(registryId: number, name: string): Steps<number | undefined> {
  const row = yield* first<{ id: number }>(
    "SELECT id FROM repositories WHERE registry_id = ? AND name = ?",
    registryId,
    name,
  );
  return row?.id;
}

/** @throws BerthError NAME_UNKNOWN */
export function* requireRepositoryId(registryId: number, name: string): Steps<number> {
  const id = yield* findRepositoryId(registryId, name);
  if (id === undefined) throw new BerthError("NAME_UNKNOWN");
  return id;
}

/** The repository's row, made by the first push to it. */
export function* ensureRepositoryId({ registryId, name, now }: RepositoryInput): Steps<number> {
  const id = yield* findRepositoryId(registryId, name);
  if (id !== undefined) return id;
  yield* run(
    "INSERT INTO repositories (registry_id, name, created_at) VALUES (?, ?, ?) ON CONFLICT (registry_id, name) DO NOTHING",
    registryId,
    name,
    now,
  );
  return yield* requireRepositoryId(registryId, name);
}
