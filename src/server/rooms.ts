import { AccessControl } from "../access/access-control.ts";
import { Policies } from "../access/policies.ts";
import type { BlobStore } from "../blobs/blob-store.ts";
import { FilesystemStore } from "../blobs/filesystem.ts";
import { Authenticator } from "../identity/authenticator.ts";
import { RegistryTokens } from "../identity/registry-tokens.ts";
import { ServiceAccounts } from "../identity/service-accounts.ts";
import { ContentCache } from "../images/content-cache.ts";
import { SigningKeys } from "../keys/signing-keys.ts";
import type { Database } from "../metadata/database.ts";
import { Freshness } from "../metadata/freshness.ts";
import { Projects } from "../projects/projects.ts";
import { Registries } from "../projects/registries.ts";
import type { RegistryRooms } from "../registry/context.ts";
import { Hosts } from "../registry/hosts.ts";
import { boundsOf } from "../registry/scopes.ts";
import { resolve } from "node:path";
import type { DataDirectory } from "./data-directory.ts";
import type { Settings } from "./options.ts";

/** Opens the configured blob stores; `default` is always among them. */
export async function openStores(settings: Settings, directory: DataDirectory): Promise<Map<string, BlobStore>> {
  const stores = new Map<string, BlobStore>();
  const configured = { default: { driver: "filesystem", transfer: "file" }, ...settings.stores } as Settings["stores"];
  for (const [name, { path, transfer }] of Object.entries(configured)) {
    const location = path === undefined ? directory.store(name) : resolve(directory.path, path);
    stores.set(name, await FilesystemStore.open(name, location, transfer));
  }
  return stores;
}

/** Puts the rooms together. The one place that knows which implementation stands where. */
export function openRooms(
  settings: Settings,
  database: Database,
  stores: ReadonlyMap<string, BlobStore>,
): RegistryRooms {
  const freshness = new Freshness(database);
  const projects = new Projects(database, freshness);
  const tokens = new RegistryTokens(new SigningKeys(database, freshness));
  const accounts = new ServiceAccounts(database, freshness);
  const policies = new Policies(database, freshness);
  return {
    freshness,
    database,
    stores,
    cache: new ContentCache(settings.cacheSize),
    limits: {
      manifestSize: settings.manifestSize,
      uploadSize: settings.uploadSize,
      openUploads: settings.openUploads,
      allowMissingBlobs: settings.allowMissingBlobs,
    },
    now: Date.now,
    access: new AccessControl(database, policies, async (id) => (await projects.find(id))?.createdAt),
    authenticator: new Authenticator({ accounts, tokens, freshness, boundsOf, now: Date.now }),
    tokens,
    projects,
    registries: new Registries(database, freshness),
    hosts: new Hosts(
      settings.hosts.map(({ name, store }) => ({ name, store, readOnly: false })),
      settings.protectReferenced,
    ),
  };
}
