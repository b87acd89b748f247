import type { Access } from "../access/access-control.ts";
import { listChildren, repositoryNames } from "../images/listing.ts";
import { repositoryResource } from "../names/resources.ts";
import type { RepositoryCall } from "./router.ts";

const chunk = 500;

/**
 * The next path segments below a repository or a project's root, in order: for a caller whose rights hang on conditions
 * those that lead to a repository which the conditions let be listed, at whatever depth.
 */
export async function visibleChildren(call: RepositoryCall): Promise<string[]> {
  const { repository, rooms, identity, project } = call;
  const { registry, database, name } = repository;
  // The credential was made for this repository; what is below it is shown as its owner may see it.
  const owner = { ...identity.caller, bounds: undefined };
  const listing = (resource: string): Access => ({ permission: "storage.objects.list", resource, project });
  const below = listing(repositoryResource(registry.bucket, `${name}/*`));
  if ((await rooms.access.reach(owner, below)) === "all") return listChildren(repository);
  const isAllowed = rooms.access.questions(owner);
  const prefix = `${name}/`;
  const segments = new Set<string>();
  for (let after = prefix; ;) {
    const names = await database.read(repositoryNames(registry, after, chunk));
    for (const each of names) {
      if (!each.startsWith(prefix)) return [...segments].sort();
      after = each;
      const segment = each.slice(prefix.length).split("/", 1)[0] as string;
      if (segments.has(segment)) continue;
      if (await isAllowed(listing(repositoryResource(registry.bucket, each)))) segments.add(segment);
    }
    if (names.length < chunk) return [...segments].sort();
  }
}
