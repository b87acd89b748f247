import type { Bound } from "../access/caller.ts";
import { allPermissions } from "../access/iam/roles.ts";
import type { Permission } from "../access/permissions.ts";

const auth = "https://www.googleapis.com/auth/";
const permissions = [...allPermissions];

const readObjects = ["storage.buckets.get", "storage.buckets.list", "storage.objects.get", "storage.objects.list"];
const writeObjects = permissions.filter(
  (permission) => permission.startsWith("storage.") && !permission.endsWith("IamPolicy"),
);
/** Looking at something. Getting a token is acting. */
const reads = /\.(?:get(?!AccessToken$|OpenIdToken$)|list|search|query)[A-Za-z]*$/;

/** What each OAuth scope lets its token do, of what its owner may. [Google, "OAuth 2.0 Scopes for Google APIs"] */
const scopePermissions: Record<string, readonly string[] | "everything"> = {
  [`${auth}cloud-platform`]: "everything",
  [`${auth}cloud-platform.read-only`]: permissions.filter((permission) => reads.test(permission)),
  [`${auth}devstorage.read_only`]: readObjects,
  [`${auth}devstorage.read_write`]: writeObjects,
  [`${auth}devstorage.full_control`]: permissions.filter((permission) => permission.startsWith("storage.")),
  [`${auth}pubsub`]: permissions.filter((permission) => permission.startsWith("pubsub.")),
  [`${auth}iam`]: permissions.filter((permission) => permission.startsWith("iam.")),
  [`${auth}logging.read`]: permissions.filter((permission) => /^logging\..*\.list$/.test(permission)),
};

/** The reach of a token with these scopes; `undefined`: all that its owner may. Unknown scopes give nothing. */
export function boundsOfScopes(scope: string): Bound[] | undefined {
  const asked = scope.split(" ").filter((each) => Object.hasOwn(scopePermissions, each));
  const lists = asked.map((each) => scopePermissions[each] as readonly string[] | "everything");
  if (lists.includes("everything")) return undefined;
  const union = new Set(lists.flat() as Permission[]);
  return union.size === 0 ? [] : [{ resource: "*", permissions: union }];
}
