import type { Bound } from "../access/caller.ts";
import type { Permission } from "../access/permissions.ts";
import type { RegistryToken, TokenAccess } from "../identity/registry-tokens.ts";
import { bucketName } from "../names/buckets.ts";
import { type ProjectId, parseRepositoryPath, projectPath } from "../names/reference.ts";
import { repositoryResource } from "../names/resources.ts";

/** What each action of a scope stands for: what a token for it can do, if its owner may. Clients that delete ask for `push` (gcloud) or `delete` (crane). */
const permissionsOf: Record<string, readonly Permission[]> = {
  pull: ["storage.objects.get", "storage.objects.list"],
  push: ["storage.buckets.get", "storage.objects.create", "storage.objects.delete"],
  delete: ["storage.objects.delete"],
  "*": [
    "storage.buckets.get",
    "storage.objects.create",
    "storage.objects.delete",
    "storage.objects.get",
    "storage.objects.list",
  ],
};

export function isKnownAction(action: string): boolean {
  return Object.hasOwn(permissionsOf, action);
}

export function actionPermissions(action: string): readonly Permission[] {
  return isKnownAction(action) ? (permissionsOf[action] as readonly Permission[]) : [];
}

/**
 * Without which an action is not given: one of several sets. To list without reading is worth a token; a push that moves
 * a tag takes the right to delete, one that makes a new one does not.
 */
const needsOf: Record<string, readonly (readonly Permission[])[]> = {
  pull: [["storage.objects.get"], ["storage.objects.list"]],
  push: [["storage.buckets.get", "storage.objects.create"]],
  delete: [["storage.objects.delete"]],
  "*": [permissionsOf["*"] as readonly Permission[]],
};

export function actionNeeds(action: string): readonly (readonly Permission[])[] {
  return Object.hasOwn(needsOf, action) ? (needsOf[action] as readonly (readonly Permission[])[]) : [];
}

/** What the catalog is asked on; a token reaches it by the scope `registry:catalog:*`. */
export const catalogResource = "catalog";

/** A scope as it is asked for, with the project that it is in; `*` as the image stands for all of a project. */
export interface Scope extends TokenAccess {
  project: ProjectId | undefined;
}

/** The longest scope parameter that is looked at. */
const maxScopeLength = 1000;

/**
 * `repository:P/IMG:pull,push`, `repository(plugin):…`, `repository:P/*:pull` or `registry:catalog:*`; `undefined`
 * for anything else. Actions that do not exist are left out.
 */
export function parseScope(text: string): Scope | undefined {
  const match =
    text.length > maxScopeLength ? null : /^(repository|registry)(?:\([a-z0-9]+\))?:(.+):([^:]*)$/.exec(text);
  if (match === null) return undefined;
  const [, type, name, list] = match as unknown as [string, "repository" | "registry", string, string];
  const actions = [...new Set(list.split(","))].filter(isKnownAction);
  if (type === "registry") return name === "catalog" ? { type, name, actions, project: undefined } : undefined;
  const path = parseRepositoryPath(name.endsWith("/*") ? name.slice(0, -2) : name);
  return path === undefined ? undefined : { type, name, actions, project: path.project };
}

/** The reach of a registry token, for `access`. */
export function boundsOf(token: RegistryToken): Bound[] {
  return token.access.flatMap(({ type, name, actions }) => {
    const permissions = new Set(actions.flatMap(actionPermissions));
    if (type === "registry") return { resource: catalogResource, permissions };
    const path = parseRepositoryPath(name.replace(/\/\*$/, ""));
    return path === undefined
      ? []
      : { resource: repositoryResource(bucketName(token.host, path.project), name), permissions };
  });
}

/** The scope that stands for every repository of a project. */
export function wholeProject(project: ProjectId): string {
  return `${projectPath(project)}/*`;
}
