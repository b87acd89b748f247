import { type Actor, recordChange } from "../access/audit/audit-log.ts";
import { requireOtherAdministrator, type Retirement, retireMember } from "../access/policies.ts";
import { ApiError } from "../http/api-error.ts";
import { bumpVersion } from "../metadata/freshness.ts";
import { command } from "../metadata/database.ts";
import { first, run, type Steps } from "../metadata/statement.ts";
import { userPrincipal } from "../names/principals.ts";

/** Somebody who signs in: with a password, or through a provider. */
export interface User {
  uniqueId: string;
  email: string;
  displayName: string;
  /** The provider's issuer, and who the user is there; `undefined` for a local user. */
  issuer: string | undefined;
  disabled: boolean;
  createdAt: number;
}

export interface UserRow {
  unique_id: string;
  email: string;
  display_name: string;
  password_hash: string | null;
  issuer: string | null;
  disabled: number;
  created_at: number;
}

export const userColumns = "unique_id, email, display_name, password_hash, issuer, disabled, created_at";

export function userFromRow(row: UserRow): User {
  return {
    uniqueId: row.unique_id,
    email: row.email,
    displayName: row.display_name,
    issuer: row.issuer ?? undefined,
    disabled: row.disabled !== 0,
    createdAt: row.created_at,
  };
}

interface NewUser {
  uniqueId: string;
  email: string;
  displayName?: string;
  /** Argon2id in its own encoding; `undefined` for a user of a provider. */
  passwordHash: string | undefined;
  now: number;
}

export function* insertUser(input: NewUser): Steps<void> {
  yield* run(
    `INSERT INTO users (unique_id, email, display_name, password_hash, created_at, credentials_since)
     VALUES (?, ?, ?, ?, ?, ?)`,
    input.uniqueId,
    input.email,
    input.displayName ?? "",
    input.passwordHash ?? null,
    input.now,
    input.now,
  );
  yield* bumpVersion("identity");
}

export function* findUser(email: string): Steps<UserRow | undefined> {
  return yield* first<UserRow>(`SELECT ${userColumns} FROM users WHERE email = ? AND deleted_at IS NULL`, email);
}

/** @throws ApiError ALREADY_EXISTS */
export const createUser = command("identity.createUser", function* (input: NewUser & { actor: Actor }): Steps<User> {
  if ((yield* findUser(input.email)) !== undefined) {
    throw new ApiError("ALREADY_EXISTS", `The user ${input.email} already exists.`);
  }
  yield* insertUser(input);
  yield* recordChange(input.actor, userResource(input.email), { change: "created" }, input.now);
  return userFromRow((yield* findUser(input.email)) as UserRow);
});

interface UserChange {
  email: string;
  displayName?: string;
  disabled?: boolean;
  actor: Actor;
  now: number;
}

/** @throws ApiError NOT_FOUND, FAILED_PRECONDITION for disabling the only administrator of the organisation */
export const updateUser = command("identity.updateUser", function* (input: UserChange): Steps<User> {
  const row = yield* requireUser(input.email);
  const displayName = input.displayName ?? row.display_name;
  const disabled = input.disabled ?? row.disabled !== 0;
  const sql = "UPDATE users SET display_name = ?, disabled = ? WHERE unique_id = ?";
  yield* run(sql, displayName, disabled ? 1 : 0, row.unique_id);
  // Who is let in again signs in again.
  if (input.disabled === true) {
    yield* run("UPDATE users SET credentials_since = ? WHERE unique_id = ?", input.now, row.unique_id);
    yield* endGrants(row.unique_id);
    yield* requireOtherAdministrator(userPrincipal(row.email));
  }
  yield* bumpVersion("identity");
  yield* recordChange(input.actor, userResource(input.email), { displayName, disabled }, input.now);
  return { ...userFromRow(row), displayName, disabled };
});

/** Refresh tokens, and the codes that would become some. */
function* endGrants(userId: string): Steps<void> {
  yield* run("DELETE FROM refresh_tokens WHERE user_id = ?", userId);
  yield* run("DELETE FROM authorization_codes WHERE user_id = ?", userId);
}

interface PasswordChange {
  email: string;
  passwordHash: string;
  actor: Actor;
  now: number;
}

/** Whatever the user was signed in with before is over. @throws ApiError NOT_FOUND */
export const changePassword = command("identity.changePassword", function* (input: PasswordChange) {
  const { unique_id: id } = yield* requireUser(input.email);
  yield* run(
    "UPDATE users SET password_hash = ?, credentials_since = ? WHERE unique_id = ?",
    input.passwordHash,
    input.now,
    id,
  );
  yield* endGrants(id);
  yield* bumpVersion("identity");
  yield* recordChange(input.actor, userResource(input.email), { change: "password" }, input.now);
});

interface UserEnd extends Retirement {
  email: string;
  actor: Actor;
  now: number;
}

/** Policies that name the user go on naming it, as deleted. @throws ApiError NOT_FOUND, FAILED_PRECONDITION for an only owner */
export const deleteUser = command("identity.deleteUser", function* (input: UserEnd) {
  const { unique_id: id, email } = yield* requireUser(input.email);
  yield* run("UPDATE users SET deleted_at = ?, password_hash = NULL WHERE unique_id = ?", input.now, id);
  yield* endGrants(id);
  const member = userPrincipal(email);
  yield* retireMember(member, id, input);
  yield* run("DELETE FROM group_members WHERE member = ?", member);
  yield* bumpVersion("identity");
  yield* recordChange(input.actor, userResource(email), { change: "deleted" }, input.now);
});

function* requireUser(email: string): Steps<UserRow> {
  const row = yield* findUser(email);
  if (row === undefined) throw new ApiError("NOT_FOUND", `The user ${email.slice(0, 320)} does not exist.`);
  return row;
}

export function userResource(email: string): string {
  return `//berth/users/${email}`;
}
