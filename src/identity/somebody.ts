import { all, first, type Steps } from "../metadata/statement.ts";
import { type Member, parseMember } from "../names/members.ts";
import { findUser } from "./users.ts";

interface Asked {
  now: number;
  /** Whether it has to be known here how they sign in: an account by a key, and nobody for whom others vouch. */
  strict: boolean;
}

/**
 * Whether somebody can come in as this member: a user who is not disabled, a service account that is not, a group or
 * domain with such a one.
 */
export function* isSomebody(member: Member, asked: Asked, seen = new Set<Member>()): Steps<boolean> {
  const parsed = parseMember(member);
  if (parsed === undefined || parsed.deletedUid !== undefined || seen.has(member)) return false;
  seen.add(member);
  const { kind, value } = parsed;
  if (kind === "user") return (yield* findUser(value))?.disabled === 0;
  if (kind === "serviceAccount" && !asked.strict) return (yield* first(activeAccount, value)) !== undefined;
  if (kind === "serviceAccount") return (yield* first(accountWithKey, value, asked.now)) !== undefined;
  if (kind === "domain") return (yield* first(usersOfDomain, value)) !== undefined;
  if (kind !== "group") return !asked.strict && (kind === "principal" || kind === "principalSet");
  for (const { member: each } of yield* all<{ member: Member }>(membersOfGroup, value)) {
    if (yield* isSomebody(each, asked, seen)) return true;
  }
  return false;
}

const activeAccount = `SELECT a.email FROM service_accounts a JOIN projects p ON p.id = a.project_id
  WHERE a.email = ? AND a.disabled = 0 AND a.deleted_at IS NULL AND p.delete_requested_at IS NULL`;
const accountWithKey = `SELECT a.email FROM service_accounts a JOIN projects p ON p.id = a.project_id
  JOIN service_account_keys k ON k.account_id = a.unique_id
  WHERE a.email = ? AND a.disabled = 0 AND a.deleted_at IS NULL AND p.delete_requested_at IS NULL
    AND k.disabled = 0 AND k.origin <> 'SYSTEM_MANAGED' AND (k.expires_at IS NULL OR k.expires_at > ?) LIMIT 1`;
const usersOfDomain = `SELECT email FROM users
  WHERE deleted_at IS NULL AND disabled = 0 AND substr(email, instr(email, '@') + 1) = ? LIMIT 1`;
const membersOfGroup = `SELECT m.member FROM group_members m JOIN groups g ON g.unique_id = m.group_id
  WHERE g.email = ?`;
