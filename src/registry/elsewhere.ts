import type { Elsewhere } from "../images/blobs.ts";
import { bucketResource, repositoryResource } from "../names/resources.ts";
import type { RepositoryCall } from "./router.ts";
import { wholeProject } from "./scopes.ts";

/**
 * In which other repositories of its registry the caller may read: all, for one whose credential reaches them all;
 * else those that the credential names.
 */
export async function readableElsewhere(call: RepositoryCall): Promise<Elsewhere> {
  const { repository, identity } = call;
  const { bucket } = repository.registry;
  const read = { project: call.project, permission: "storage.objects.get" } as const;
  const everywhere = repositoryResource(bucket, wholeProject(call.project));
  if (await repository.may({ ...read, resource: everywhere })) return "registry";
  const prefix = `${bucketResource(bucket)}/objects/`;
  const names: string[] = [];
  for (const { resource } of identity.caller.bounds ?? []) {
    const named = resource.startsWith(prefix) && resource !== repository.resource;
    if (named && (await repository.may({ ...read, resource }))) names.push(resource.slice(prefix.length));
  }
  return names;
}
