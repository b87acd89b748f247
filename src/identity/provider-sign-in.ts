import { ApiError } from "../http/api-error.ts";
import { bumpVersion } from "../metadata/freshness.ts";
import { command } from "../metadata/database.ts";
import { all, first, run, type Steps } from "../metadata/statement.ts";
import { userPrincipal } from "../names/principals.ts";
import { findUser } from "./users.ts";

interface ProviderSignIn {
  /** For a user who is new. */
  newUniqueId: string;
  issuer: string;
  subject: string;
  email: string;
  displayName: string;
  /** Addresses of the groups that the provider names, each with an id for one that is new. */
  groups: { email: string; newUniqueId: string }[];
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
      // Memberships go by address.
      if (known.email !== input.email) {
        yield* run(
          "DELETE FROM group_members WHERE member = ? AND source = ?",
          userPrincipal(known.email),
          input.issuer,
        );
      }
    }
    yield* syncGroups(input);
    yield* bumpVersion("identity");
    return id;
  },
);

function* syncGroups({ email, issuer, groups, now }: ProviderSignIn): Steps<void> {
  const member = userPrincipal(email);
  yield* run("DELETE FROM group_members WHERE member = ? AND source = ?", member, issuer);
  for (const group of groups) {
    const [row] = yield* all<{ unique_id: string }>("SELECT unique_id FROM groups WHERE email = ?", group.email);
    if (row === undefined) {
      yield* run(
        "INSERT INTO groups (unique_id, email, display_name, description, created_at) VALUES (?, ?, ?, ?, ?)",
        group.newUniqueId,
        group.email,
        group.email,
        `named by ${issuer}`,
        now,
      );
    }
    yield* run(
      `INSERT INTO group_members (group_id, member, source, created_at) VALUES (?, ?, ?, ?)
         ON CONFLICT (group_id, member, source) DO NOTHING`,
      row?.unique_id ?? group.newUniqueId,
      member,
      issuer,
      now,
    );
  }
}
