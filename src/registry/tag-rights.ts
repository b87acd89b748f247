import type { Access } from "../access/access-control.ts";
import { firstTags, leadingTags, type Reached, type RepositoryPlace } from "../images/leading-tags.ts";
import type { RepositoryPath } from "../names/reference.ts";
import { manifestResource } from "../names/resources.ts";
import type { RegistryCall } from "./context.ts";

/**
 * Conditions may let somebody pull some tags of a repository and no others. Clients resolve a tag and then ask for
 * manifests by digest and for layers: what an allowed tag leads to is theirs to read too.
 */
export async function accessByTag(
  call: RegistryCall,
  { name, project }: RepositoryPath,
  wanted: Access,
  repository: string,
  reached: Reached,
): Promise<Access | undefined> {
  const { access, database } = call.rooms;
  const { caller } = call.identity;
  if ((await access.reach(caller, { ...wanted, resource: `${repository}*` })) !== "some") return undefined;
  const place = await placeOf(call, project, name);
  const tags = place === undefined ? [] : await leadingTags(database, place, reached);
  return firstAllowed(call, wanted, repository, tags);
}

/** Whether a caller whose rights hang on conditions may pull any tag of a repository; with very many, whether it may be. */
export async function mayPullSome(
  call: RegistryCall,
  { name, project }: Pick<RepositoryPath, "name" | "project">,
  wanted: Access,
): Promise<boolean> {
  const { access, database } = call.rooms;
  const { resource } = wanted;
  const reach = await access.reach(call.identity.caller, { ...wanted, resource: `${resource}*` });
  if (reach !== "some") return reach === "all";
  if (resource.endsWith("*")) return true;
  const place = await placeOf(call, project, name);
  if (place === undefined) return false;
  const { tags, areAll } = await firstTags(database, place);
  return (await firstAllowed(call, wanted, resource, tags)) !== undefined || !areAll;
}

async function placeOf(
  { rooms, requested }: RegistryCall,
  project: RepositoryPath["project"],
  name: string,
): Promise<RepositoryPlace | undefined> {
  const registry = await rooms.registries.find(requested.host.name, project);
  return registry && { registryId: registry.id, store: registry.store, name };
}

async function firstAllowed(
  { rooms, identity }: RegistryCall,
  wanted: Access,
  repository: string,
  tags: readonly string[],
): Promise<Access | undefined> {
  for (const tag of tags) {
    const access = { ...wanted, resource: manifestResource(repository, tag) };
    if (await rooms.access.isAllowed(identity.caller, access)) return access;
  }
  return undefined;
}
