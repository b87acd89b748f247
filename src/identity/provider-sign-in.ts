import { recordChange } from "../access/audit/audit-log.ts";
import type { Call } from "../access/caller.ts";
import { replaceMember } from "../access/policies.ts";
import { ApiError } from "../http/api-error.ts";
import { bumpVersion } from "../metadata/freshness.ts";
import { command } from "../metadata/database.ts";
import { all, first, run, type Steps } from "../metadata/statement.ts";
import { userPrincipal } from "../names/principals.ts";
import { findUser, userResource } from "./users.ts";

interface ProviderSignIn {
  /** For a user who is new. */
  newUniqueId: string;
  issuer: string;
  subject: string;
  email: string;
  displayName: string;
  /** Addresses of the groups that the provider names, each with an id for one that is new. */
  groups: { email: string; newUniqueId: string }[];
  newEtag: string;
  call: Call;
  now: number;
}

/**
 * Makes or refreshes the user that a provider tells of, with the groups that it tells of now: those of an earlier
 * sign-in end. Answers the user's unique id.
 * @throws ApiError FAILED_PRECONDITION if the address is another's here, PERMISSION_DENIED for a disabled user
 */
export const signInThroughProvider = command(
  "identity.signInThroughProvider",
  function* (input: ProviderSignIn): Steps<string> {
    const known = yield* first<{ unique_id: string; email: string; disabled: number }>(
      "SELECT unique_id, email, disabled FROM users WHERE issuer = ? AND subject = ? AND deleted_at IS NULL",
      input.issuer,
      input.subject,
    );
    const holder = yield* findUser(input.email);
    if (holder !== undefined && holder.unique_id !== known?.unique_id) {
      throw new ApiError("FAILED_PRECONDITION", `The address ${input.email} is another user's here.`);
    }
    if (known !== undefined && known.disabled !== 0) throw new ApiError("PERMISSION_DENIED", "The user is disabled.");
    const id = known?.unique_id ?? input.newUniqueId;
    if (known === undefined) {
      yield* run(
        `INSERT INTO users (unique_id, email, display_name, issuer, subject, created_at, credentials_since)
       VALUES (?, ?, ?, ?, ?, ?, ?)`,
        id,
        input.email,
        input.displayName,
        input.issuer,
        input.subject,
        input.now,
        input.now,
      );
    } else {
      yield* run(
        "UPDATE users SET email = ?, display_name = ? WHERE unique_id = ?",
        input.email,
        input.displayName,
        id,
      );
      if (known.email !== input.email) yield* moveRights(known.email, input);
    }
    const groups = yield* syncGroups(input);
    const isSame = known?.email === input.email && groups.added.length + groups.removed.length === 0;
    if (isSame) return id;
    yield* bumpVersion("identity");
    const { issuer, subject, email, now } = input;
    const previous = known === undefined || known.email === email ? {} : { previousEmail: known.email };
    // Nobody else has asked for it: it is the person's own doing.
    const actor = { principal: userPrincipal(email), keyId: "", delegation: [], call: input.call, accesses: [] };
    yield* recordChange(actor, userResource(email), { issuer, subject, email, ...previous, groups }, now);
    return id;
  },
);

/**
 * Policies and groups name people by their addresses: they follow a person to a new one. Whoever has the old one next
 * is somebody else.
 */
function* moveRights(from: string, { email, issuer, newEtag }: ProviderSignIn): Steps<void> {
  const [old, young] = [userPrincipal(from), userPrincipal(email)];
  yield* replaceMember(old, young, newEtag);
  yield* run("DELETE FROM group_members WHERE member = ? AND source = ?", old, issuer);
  yield* run(
    `INSERT INTO group_members (group_id, member, source, created_at)
       SELECT group_id, ?, source, created_at FROM group_members WHERE member = ?
       ON CONFLICT (group_id, member, source) DO NOTHING`,
    young,
    old,
  );
  yield* run("DELETE FROM group_members WHERE member = ?", old);
}

/** Answers the groups that were added and taken away. */
function* syncGroups({ email, issuer, groups, now }: ProviderSignIn): Steps<{ added: string[]; removed: string[] }> {
  const member = userPrincipal(email);
  const rows = yield* all<{ email: string; unique_id: string }>(
    `SELECT g.email, g.unique_id FROM group_members m JOIN groups g ON g.unique_id = m.group_id
       WHERE m.member = ? AND m.source = ?`,
    member,
    issuer,
  );
  const before = new Map(rows.map((row) => [row.email, row.unique_id]));
  const named = new Set(groups.map((group) => group.email));
  const removed = [...before.keys()].filter((group) => !named.has(group));
  for (const group of removed) {
    const sql = "DELETE FROM group_members WHERE group_id = ? AND member = ? AND source = ?";
    yield* run(sql, before.get(group) as string, member, issuer);
  }
  const added = groups.filter((group) => !before.has(group.email));
  for (const group of added) {
    const id = yield* ensureGroup(group, issuer, now);
    const sql = "INSERT INTO group_members (group_id, member, source, created_at) VALUES (?, ?, ?, ?)";
    yield* run(sql, id, member, issuer, now);
  }
  return { added: added.map((group) => group.email), removed };
}

function* ensureGroup(group: ProviderSignIn["groups"][number], issuer: string, now: number): Steps<string> {
  const row = yield* first<{ unique_id: string }>("SELECT unique_id FROM groups WHERE email = ?", group.email);
  if (row !== undefined) return row.unique_id;
  yield* run(
    "INSERT INTO groups (unique_id, email, display_name, description, created_at) VALUES (?, ?, ?, ?, ?)",
    group.newUniqueId,
    group.email,
    group.email,
    `named by ${issuer}`,
    now,
  );
  return group.newUniqueId;
}
