import type { Principal } from "../names/principals.ts";
import type { ResourceName } from "../names/resources.ts";
import type { Permission } from "./permissions.ts";

/**
 * What a credential was made for: it may be used for these permissions on this resource and no others, whatever its
 * owner may do. A resource that ends in `*` stands for all that begin like it.
 */
export interface Bound {
  resource: ResourceName;
  permissions: ReadonlySet<Permission>;
}

/** Who calls, as far as the credential tells; not what they may do. */
export interface Caller {
  principal: Principal;
  /** `undefined`: a credential of its owner's full reach. */
  bounds: readonly Bound[] | undefined;
  /** When the credential was made, in ms; 0 for one without an age. A project made later is out of its reach. */
  issuedAt: number;
}

/** The circumstances of a call, for conditions, perimeters and the audit log. */
export interface Call {
  service: string;
  method: string;
  clientAddress: string;
  requestId: string;
}

export function withinBounds(caller: Caller, permission: Permission, resource: ResourceName): boolean {
  if (caller.bounds === undefined) return true;
  return caller.bounds.some((bound) => bound.permissions.has(permission) && covers(bound.resource, resource));
}

function covers(pattern: ResourceName, resource: ResourceName): boolean {
  return pattern.endsWith("*") ? resource.startsWith(pattern.slice(0, -1)) : pattern === resource;
}
