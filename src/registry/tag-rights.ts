import type { Access } from "../access/access-control.ts";
import { leadingTags, type Reached, type RepositoryPlace } from "../images/leading-tags.ts";
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

/**
 * Whether a caller may pull anything of a repository, as far as a token needs to know: conditions, which tell between its
 * tags, are asked at each request that the token comes with. Whether the repository is there is not looked at.
 */
export async function mayPullSome(call: RegistryCall, wanted: Access): Promise<boolean> {
  const resource = wanted.resource.endsWith("*") ? wanted.resource : `${wanted.resource}*`;
  return (await call.rooms.access.reach(call.identity.caller, { ...wanted, resource })) !== "none";
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
  const isAllowed = rooms.access.questions(identity.caller);
  for (const tag of tags) {
    const access = { ...wanted, resource: manifestResource(repository, tag) };
    if (await isAllowed(access)) return access;
  }
  return undefined;
}
