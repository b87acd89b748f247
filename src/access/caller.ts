import type { Principal } from "../names/principals.ts";
import type { ResourceName } from "../names/resources.ts";
import type { Identities } from "./iam/policy.ts";
import type { Permission } from "./permissions.ts";

/**
 * What a credential was made for: it may be used for these permissions on this resource and no others, whatever its
 * owner may do. A resource that ends in `*` stands for all that begin like it.
 */
export interface Bound {
  resource: ResourceName;
  permissions: ReadonlySet<Permission>;
}

/** An account that a credential was made by, and when the credential of its own was made, in ms; 0 for one without an age. */
export interface Origin {
  accountId: string;
  issuedAt: number;
}

/** Who calls, as far as the credential tells; not what they may do. */
export interface Caller {
  principal: Principal;
  /** The principal, its groups, its domain, `allUsers`…: one object for as long as they stay the same. */
  identities: Identities;
  /** The service-account key behind the credential; empty where there is none. */
  keyId: string;
  /** The tokens that the credential goes back to, itself included. */
  tokenIds: readonly string[];
  /** Who acts as the principal, the nearest last; empty where it acts itself. */
  delegation: readonly Principal[];
  /** The accounts that the credential goes back to, by impersonation, the principal's own last: see `Holder`. */
  origins: readonly Origin[];
  /** `undefined`: a credential of its owner's full reach. */
  bounds: readonly Bound[] | undefined;
  /** When the credential was made, in ms; 0 for one without an age. */
  issuedAt: number;
}

/** The circumstances of a call, for conditions, perimeters and the audit log. */
export interface Call {
  service: string;
  method: string;
  clientAddress: string;
  userAgent: string;
  requestId: string;
}

export function withinBounds(caller: Caller, permission: Permission, resource: ResourceName): boolean {
  if (caller.bounds === undefined) return true;
  return caller.bounds.some((bound) => bound.permissions.has(permission) && covers(bound.resource, resource));
}

/** A bound on a repository reaches its manifests too. */
function covers(pattern: ResourceName, resource: ResourceName): boolean {
  if (pattern.endsWith("*")) return resource.startsWith(pattern.slice(0, -1));
  if (!resource.startsWith(pattern)) return false;
  const next = resource[pattern.length];
  return next === undefined || next === ":" || next === "@";
}
