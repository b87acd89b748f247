import { repositoryNames } from "../images/listing.ts";
import { projectPath } from "../names/reference.ts";
import { withinBounds } from "../access/caller.ts";
import { anonymous } from "../names/principals.ts";
import { unauthorized } from "./challenge.ts";
import type { RegistryCall } from "./context.ts";
import { apiVersion, maxPage, nextLink, pageSize } from "./replies.ts";
import { catalogResource } from "./scopes.ts";

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
  const visible = new Set(await rooms.access.readable(caller, permission));
  const registries = (await rooms.registries.onHost(requested.host.name)).filter(({ project }) => visible.has(project));
  // A project's repositories stand together, since all begin with its path and a slash.
  const ordered = registries
    .map((registry) => ({ registry, prefix: `${projectPath(registry.project)}/` }))
    .sort((a, b) => (a.prefix < b.prefix ? -1 : 1));
  const last = query.get("last") ?? "";
  const found: string[] = [];
  for (const { registry, prefix } of ordered) {
    if (found.length > size) break;
    // Every name of this registry sorts before `last`.
    if (last !== "" && `${prefix}\u{10ffff}` < last) continue;
    found.push(...(await rooms.database.read(repositoryNames(registry, last, size + 1 - found.length))));
  }
  const repositories = found.slice(0, size);
  const end = repositories.at(-1);
  const more = found.length > size && end !== undefined;
  return Response.json(
    { repositories },
    { headers: { ...apiVersion, ...(more ? nextLink(call.path, { n: String(size), last: end }) : {}) } },
  );
}
