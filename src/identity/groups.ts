import { type Actor, recordChange } from "../access/audit/audit-log.ts";
import { type Retirement, retireMember } from "../access/policies.ts";
import { ApiError } from "../http/api-error.ts";
import { bumpVersion } from "../metadata/freshness.ts";
import { command } from "../metadata/database.ts";
import { first, run, type Steps } from "../metadata/statement.ts";
import type { Member } from "../names/members.ts";

export interface Group {
  uniqueId: string;
  email: string;
  displayName: string;
  description: string;
  createdAt: number;
}

export interface GroupRow {
  unique_id: string;
  email: string;
  display_name: string;
  description: string;
  created_at: number;
}

export const groupColumns = "unique_id, email, display_name, description, created_at";
export const maxMembers = 50_000;

export function groupFromRow(row: GroupRow): Group {
  const { unique_id: uniqueId, email, display_name: displayName, description, created_at: createdAt } = row;
  return { uniqueId, email, displayName, description, createdAt };
}

export function* findGroup(email: string): Steps<Group | undefined> {
  const row = yield* first<GroupRow>(`SELECT ${groupColumns} FROM groups WHERE email = ?`, email);
  return row === undefined ? undefined : groupFromRow(row);
}

interface NewGroup {
  uniqueId: string;
  email: string;
  displayName: string;
  description: string;
  actor: Actor;
  now: number;
}

/** @throws ApiError ALREADY_EXISTS */
export const createGroup = command("identity.createGroup", function* (input: NewGroup): Steps<Group> {
  if ((yield* findGroup(input.email)) !== undefined) {
    throw new ApiError("ALREADY_EXISTS", `The group ${input.email} already exists.`);
  }
  yield* run(
    "INSERT INTO groups (unique_id, email, display_name, description, created_at) VALUES (?, ?, ?, ?, ?)",
    input.uniqueId,
    input.email,
    input.displayName,
    input.description,
    input.now,
  );
  yield* changed(input.email, { change: "created" }, input.actor, input.now);
  return (yield* findGroup(input.email)) as Group;
});

interface GroupChange {
  email: string;
  actor: Actor;
  now: number;
}

export const updateGroup = command(
  "identity.updateGroup",
  function* (input: GroupChange & { displayName?: string; description?: string }): Steps<Group> {
    const group = yield* requireGroup(input.email);
    const { displayName = group.displayName, description = group.description } = input;
    const sql = "UPDATE groups SET display_name = ?, description = ? WHERE unique_id = ?";
    yield* run(sql, displayName, description, group.uniqueId);
    yield* changed(input.email, { displayName, description }, input.actor, input.now);
    return { ...group, displayName, description };
  },
);

/** Policies that name the group go on naming it, as deleted. @throws ApiError NOT_FOUND, FAILED_PRECONDITION for an only owner */
export const deleteGroup = command("identity.deleteGroup", function* (input: GroupChange & Retirement) {
  const { uniqueId, email } = yield* requireGroup(input.email);
  yield* run("DELETE FROM groups WHERE unique_id = ?", uniqueId);
  const member = `group:${email}`;
  yield* run("DELETE FROM group_members WHERE member = ?", member);
  yield* retireMember(member, uniqueId, input);
  yield* changed(email, { change: "deleted" }, input.actor, input.now);
});

interface MemberChange extends GroupChange {
  member: Member;
  change: "add" | "remove";
}

/** @throws ApiError NOT_FOUND, RESOURCE_EXHAUSTED, INVALID_ARGUMENT for a group in itself */
export const changeMember = command("identity.changeMember", function* (input: MemberChange) {
  const { uniqueId, email } = yield* requireGroup(input.email);
  if (input.change === "remove") {
    const sql = "DELETE FROM group_members WHERE group_id = ? AND member = ? AND source = 'local' RETURNING member";
    const removed = yield* first(sql, uniqueId, input.member);
    if (removed === undefined) throw new ApiError("NOT_FOUND", `${input.member} is not a member that was added here.`);
  } else {
    if (input.member === `group:${email}`) throw new ApiError("INVALID_ARGUMENT", "member: a group is not in itself.");
    const count = yield* first<{ n: number }>("SELECT count(*) AS n FROM group_members WHERE group_id = ?", uniqueId);
    if ((count?.n ?? 0) >= maxMembers) {
      throw new ApiError("RESOURCE_EXHAUSTED", `A group has at most ${maxMembers} members.`);
    }
    yield* run(
      `INSERT INTO group_members (group_id, member, source, created_at) VALUES (?, ?, 'local', ?)
         ON CONFLICT (group_id, member, source) DO NOTHING`,
      uniqueId,
      input.member,
      input.now,
    );
  }
  yield* changed(email, { [input.change]: input.member }, input.actor, input.now);
});

function* requireGroup(email: string): Steps<Group> {
  const group = yield* findGroup(email);
  if (group === undefined) throw new ApiError("NOT_FOUND", `The group ${email.slice(0, 320)} does not exist.`);
  return group;
}

function* changed(email: string, detail: object, actor: Actor, now: number): Steps<void> {
  yield* bumpVersion("identity");
  yield* recordChange(actor, `//berth/groups/${email}`, detail, now);
}
