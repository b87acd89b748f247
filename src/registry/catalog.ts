import type { Access } from "../access/access-control.ts";
import { type Caller, withinBounds } from "../access/caller.ts";
import { repositoryNames } from "../images/listing.ts";
import { anonymous } from "../names/principals.ts";
import { projectPath } from "../names/reference.ts";
import { repositoryResource } from "../names/resources.ts";
import type { Registry } from "../projects/registries.ts";
import { unauthorized } from "./challenge.ts";
import type { RegistryCall } from "./context.ts";
import { apiVersion, maxPage, nextLink, pageSize } from "./replies.ts";
import { catalogResource, wholeProject } from "./scopes.ts";

const permission = "storage.objects.list";

/** The repositories of every project that the caller can see on this host, in byte order. */
export async function getCatalog(call: RegistryCall): Promise<Response> {
  const { rooms, identity, query, requested } = call;
  const { caller } = identity;
  if (caller.principal === anonymous || !withinBounds(caller, permission, catalogResource)) {
    const asked = { scheme: call.scheme, host: call.host };
    throw unauthorized(
      asked,
      "registry:catalog:*",
      undefined,
      caller.principal === anonymous ? undefined : "insufficient_scope",
    );
  }
  const size = pageSize(query) ?? maxPage;
  const visible = await visibleRegistries(call, await rooms.registries.onHost(requested.host.name));
  // A project's repositories stand together, since all begin with its path and a slash.
  const ordered = visible
    .map((each) => ({ ...each, prefix: `${projectPath(each.registry.project)}/` }))
    .sort((a, b) => (a.prefix < b.prefix ? -1 : 1));
  const last = query.get("last") ?? "";
  const found: string[] = [];
  for (const { registry, prefix, isWhole } of ordered) {
    if (found.length > size) break;
    // Every name of this registry sorts before `last`.
    if (last !== "" && `${prefix}\u{10ffff}` < last) continue;
    found.push(...(await visibleNames(call, registry, isWhole, last, size + 1 - found.length)));
  }
  const repositories = found.slice(0, size);
  const end = repositories.at(-1);
  const more = found.length > size && end !== undefined;
  return Response.json(
    { repositories },
    { headers: { ...apiVersion, ...(more ? nextLink(call.path, { n: String(size), last: end }) : {}) } },
  );
}

/** The token was made for the catalog; what stands in it is what its owner may list. */
function ownerOf({ identity }: RegistryCall): Caller {
  return { ...identity.caller, bounds: undefined };
}

function listing({ bucket, project }: Registry, name: string): Access {
  return { permission, resource: repositoryResource(bucket, name), project };
}

interface VisibleRegistry {
  registry: Registry;
  /** Whether all of its repositories are visible; else a condition tells for each. */
  isWhole: boolean;
}

async function visibleRegistries(call: RegistryCall, registries: Registry[]): Promise<VisibleRegistry[]> {
  const { access } = call.rooms;
  const owner = ownerOf(call);
  const visible: VisibleRegistry[] = [];
  for (const registry of registries) {
    const reach = await access.reach(owner, listing(registry, wholeProject(registry.project)));
    if (reach !== "none") visible.push({ registry, isWhole: reach === "all" });
  }
  return visible;
}

const chunk = 500;

async function visibleNames(
  call: RegistryCall,
  registry: Registry,
  isWhole: boolean,
  last: string,
  limit: number,
): Promise<string[]> {
  const { access, database } = call.rooms;
  if (isWhole) return database.read(repositoryNames(registry, last, limit));
  const owner = ownerOf(call);
  const isAllowed = access.questions(owner);
  const visible: string[] = [];
  for (let after = last; visible.length < limit;) {
    const names = await database.read(repositoryNames(registry, after, chunk));
    for (const name of names) if (await isAllowed(listing(registry, name))) visible.push(name);
    if (names.length < chunk) break;
    after = names.at(-1) as string;
  }
  return visible.slice(0, limit);
}
