import type { Identities } from "../access/iam/policy.ts";
import type { Database } from "../metadata/database.ts";
import { FreshCache } from "../metadata/fresh-cache.ts";
import type { Freshness } from "../metadata/freshness.ts";
import { all, inList, type Steps } from "../metadata/statement.ts";
import { allAuthenticatedUsers, allUsers, type Member } from "../names/members.ts";
import { anonymous, type Principal } from "../names/principals.ts";

/** How deep groups may stand in one another. */
export const maxGroupDepth = 20;
/** Groups that one principal may be in, directly and through others; those beyond are not seen. */
export const maxGroups = 10_000;

const nobody: Identities = new Set([allUsers]);

/** What a principal is beside itself: its groups, its domain, everybody. */
export class Memberships {
  readonly #database: Database;
  readonly #known: FreshCache<string, Identities>;

  constructor(database: Database, freshness: Freshness) {
    this.#database = database;
    this.#known = new FreshCache(freshness, "identity");
  }

  /**
   * One object for as long as nothing about identities changes.
   * @param sets the principal sets that a federated credential puts its principal in
   */
  async of(principal: Principal, sets: readonly Member[] = []): Promise<Identities> {
    if (principal === anonymous) return nobody;
    const key = sets.length === 0 ? principal : JSON.stringify([principal, ...sets]);
    return this.#known.find(key, async () => {
      const groups = await this.#database.read(groupsOf(principal));
      return new Set([principal, ...sets, ...ofKind(principal), ...groups, allUsers]);
    });
  }
}

/** Federated identities are not "authenticated users". [IAM, "Principal identifiers", allAuthenticatedUsers] */
function ofKind(principal: Principal): Member[] {
  if (principal.startsWith("user:")) return [allAuthenticatedUsers, `domain:${principal.split("@")[1]}`];
  return principal.startsWith("serviceAccount:") ? [allAuthenticatedUsers] : [];
}

/** The groups that a member is in, and those that these are in, as members. */
function* groupsOf(member: Member): Steps<ReadonlySet<Member>> {
  const found = new Set<Member>();
  let frontier: Member[] = [member];
  for (let depth = 0; frontier.length > 0 && depth < maxGroupDepth && found.size < maxGroups; depth++) {
    const next: Member[] = [];
    for (let i = 0; i < frontier.length; i += 500) {
      const { marks, padded } = inList(frontier.slice(i, i + 500));
      const rows = yield* all<{ email: string }>(
        `SELECT DISTINCT g.email FROM group_members m JOIN groups g ON g.unique_id = m.group_id WHERE m.member IN (${marks})`,
        ...padded,
      );
      for (const { email } of rows) {
        const group = `group:${email}`;
        if (!found.has(group)) next.push(group);
        found.add(group);
      }
    }
    frontier = next;
  }
  return found;
}
