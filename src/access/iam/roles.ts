import type { Database } from "../../metadata/database.ts";
import { FreshCache } from "../../metadata/fresh-cache.ts";
import type { Freshness } from "../../metadata/freshness.ts";
import { type PredefinedRole, predefinedRoles } from "./predefined-roles.ts";

const predefined: ReadonlyMap<string, PredefinedRole> = new Map(predefinedRoles.map((role) => [role.name, role]));
const predefinedPermissions: ReadonlyMap<string, ReadonlySet<string>> = new Map(
  predefinedRoles.map(({ name, permissions }) => [name, new Set(permissions)]),
);

/** Every permission that there is: what a custom role may hold. */
export const allPermissions: ReadonlySet<string> = new Set(predefinedRoles.flatMap(({ permissions }) => permissions));

export function predefinedRole(name: string): PredefinedRole | undefined {
  return predefined.get(name);
}

const administration = /\.setIamPolicy$|^iam\.roles\.update$|^berth\.(?:users|groups)\.update$/;

const noPermissions: ReadonlySet<string> = new Set();

/** What each role permits: predefined ones from the table, custom ones read once and kept until any policy changes. */
export class Roles {
  readonly #database: Database;
  readonly #custom: FreshCache<string, ReadonlySet<string>>;

  constructor(database: Database, freshness: Freshness) {
    this.#database = database;
    this.#custom = new FreshCache(freshness, "access", 10_000);
  }

  /** A role that does not exist, that was deleted or whose stage is DISABLED permits nothing. [IAM, "RoleLaunchStage"] */
  permissionsOf(role: string): ReadonlySet<string> | Promise<ReadonlySet<string>> {
    return predefinedPermissions.get(role) ?? this.#custom.get(role) ?? this.#custom.find(role, () => this.#load(role));
  }

  /** Whether who has it on the organisation could give roles there or below, or become others. */
  async administers(role: string): Promise<boolean> {
    for (const permission of await this.permissionsOf(role)) if (administration.test(permission)) return true;
    return false;
  }

  isPredefined(role: string): boolean {
    return predefined.has(role);
  }

  /** Whether there is such a custom role, and it is not deleted. */
  async exists(role: string): Promise<boolean> {
    const row = await this.#database.readRow(
      "SELECT name FROM custom_roles WHERE name = ? AND deleted_at IS NULL",
      role,
    );
    return row !== undefined;
  }

  async #load(role: string): Promise<ReadonlySet<string>> {
    const row = await this.#database.readRow<{ permissions: string }>(
      "SELECT permissions FROM custom_roles WHERE name = ? AND deleted_at IS NULL AND stage <> 'DISABLED'",
      role,
    );
    return row === undefined ? noPermissions : new Set(JSON.parse(row.permissions) as string[]);
  }
}
