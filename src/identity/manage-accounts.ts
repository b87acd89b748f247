import { type Actor, recordChange } from "../access/audit/audit-log.ts";
import {
  deletedMember,
  requireOtherAdministrator,
  type Retirement,
  restoreMember,
  retireMember,
} from "../access/policies.ts";
import { ApiError } from "../http/api-error.ts";
import { bumpVersion } from "../metadata/freshness.ts";
import { command } from "../metadata/database.ts";
import { first, run, type Steps } from "../metadata/statement.ts";
import { serviceAccountPrincipal } from "../names/principals.ts";
import { serviceAccountResource } from "../names/resources.ts";
import { projectOfAgent } from "./service-agent.ts";
import {
  accountColumns,
  accountFromRow,
  findServiceAccount,
  insertServiceAccount,
  insertServiceAccountKey,
  type NewServiceAccount,
  type NewServiceAccountKey,
  type ServiceAccount,
  type ServiceAccountRow,
} from "./service-accounts.ts";

/** Service accounts of one project, and keys of one account. [IAM, "Quotas and limits"] */
export const maxAccounts = 1000;
export const maxKeys = 10;
/** How long a deleted account can be brought back. */
export const undeleteDays = 30;

/** @throws ApiError ALREADY_EXISTS, RESOURCE_EXHAUSTED, INVALID_ARGUMENT for a service agent's address */
export const createAccount = command(
  "identity.createAccount",
  function* (input: NewServiceAccount & { actor: Actor }): Steps<ServiceAccount> {
    if (projectOfAgent(input.email) !== undefined) {
      throw new ApiError("INVALID_ARGUMENT", `accountId: ${input.email} is the address of a service agent.`);
    }
    if ((yield* findServiceAccount(input.email)) !== undefined) {
      throw new ApiError("ALREADY_EXISTS", `Service account ${input.email} already exists.`);
    }
    const count = yield* first<{ n: number }>(
      "SELECT count(*) AS n FROM service_accounts WHERE project_id = ? AND deleted_at IS NULL",
      input.project,
    );
    if ((count?.n ?? 0) >= maxAccounts) {
      throw new ApiError("RESOURCE_EXHAUSTED", `A project has at most ${maxAccounts} service accounts.`);
    }
    yield* insertServiceAccount(input);
    const detail = { email: input.email, uniqueId: input.uniqueId };
    yield* recordChange(input.actor, serviceAccountResource(input.project, input.uniqueId), detail, input.now);
    return (yield* findServiceAccount(input.uniqueId)) as ServiceAccount;
  },
);

interface AccountChange {
  uniqueId: string;
  displayName?: string;
  description?: string;
  disabled?: boolean;
  actor: Actor;
  now: number;
}

/** @throws ApiError NOT_FOUND */
export const updateAccount = command("identity.updateAccount", function* (input: AccountChange): Steps<ServiceAccount> {
  const account = yield* requireAccount(input.uniqueId);
  const { displayName = account.displayName, description = account.description, disabled = account.disabled } = input;
  if (disabled && !account.disabled) yield* requireOtherAdministrator(serviceAccountPrincipal(account.email));
  yield* run(
    "UPDATE service_accounts SET display_name = ?, description = ?, disabled = ? WHERE unique_id = ?",
    displayName,
    description,
    disabled ? 1 : 0,
    input.uniqueId,
  );
  yield* bumpVersion("identity");
  const resource = serviceAccountResource(account.project, account.uniqueId);
  yield* recordChange(input.actor, resource, { displayName, description, disabled }, input.now);
  return { ...account, displayName, description, disabled };
});

interface AccountEnd {
  uniqueId: string;
  newEtag: string;
  actor: Actor;
  now: number;
}

/** Policies that name the account go on naming it, as deleted. @throws ApiError NOT_FOUND, FAILED_PRECONDITION for an only owner */
export const deleteAccount = command("identity.deleteAccount", function* (input: AccountEnd & Retirement) {
  const { uniqueId, email, project } = yield* requireAccount(input.uniqueId);
  yield* run("UPDATE service_accounts SET deleted_at = ? WHERE unique_id = ?", input.now, uniqueId);
  const member = serviceAccountPrincipal(email);
  yield* retireMember(member, uniqueId, input);
  yield* run("UPDATE group_members SET member = ? WHERE member = ?", deletedMember(member, uniqueId), member);
  yield* bumpVersion("identity");
  yield* recordChange(input.actor, serviceAccountResource(project, uniqueId), { email, change: "deleted" }, input.now);
});

/** @throws ApiError NOT_FOUND, FAILED_PRECONDITION if another account has the address by now */
export const undeleteAccount = command(
  "identity.undeleteAccount",
  function* (input: AccountEnd): Steps<ServiceAccount> {
    const row = yield* first<ServiceAccountRow>(
      `SELECT ${accountColumns} FROM service_accounts WHERE unique_id = ? AND deleted_at > ?`,
      input.uniqueId,
      input.now - undeleteDays * 24 * 3600_000,
    );
    if (row === undefined) throw unknownAccount(input.uniqueId);
    const account = { ...accountFromRow(row), deletedAt: undefined };
    const { uniqueId, email, project } = account;
    if ((yield* findServiceAccount(email)) !== undefined) {
      throw new ApiError("FAILED_PRECONDITION", `Another service account has the address ${email} by now.`);
    }
    yield* run("UPDATE service_accounts SET deleted_at = NULL WHERE unique_id = ?", uniqueId);
    const member = serviceAccountPrincipal(email);
    yield* restoreMember(member, uniqueId, input.newEtag);
    const deleted = deletedMember(member, uniqueId);
    // It may have been made a member again under its address meanwhile.
    yield* run(
      `DELETE FROM group_members WHERE member = ? AND EXISTS (SELECT 1 FROM group_members other
         WHERE other.group_id = group_members.group_id AND other.source = group_members.source AND other.member = ?)`,
      deleted,
      member,
    );
    yield* run("UPDATE group_members SET member = ? WHERE member = ?", member, deleted);
    yield* bumpVersion("identity");
    yield* recordChange(
      input.actor,
      serviceAccountResource(project, uniqueId),
      { email, change: "undeleted" },
      input.now,
    );
    return account;
  },
);

/** @throws ApiError RESOURCE_EXHAUSTED, ALREADY_EXISTS */
export const addKey = command("identity.addKey", function* (input: NewServiceAccountKey & { actor: Actor }) {
  const account = yield* requireAccount(input.accountId);
  const count = yield* first<{ n: number }>(
    "SELECT count(*) AS n FROM service_account_keys WHERE account_id = ? AND origin <> 'SYSTEM_MANAGED'",
    input.accountId,
  );
  if ((count?.n ?? 0) >= maxKeys) {
    throw new ApiError("RESOURCE_EXHAUSTED", `A service account has at most ${maxKeys} keys: delete one first.`);
  }
  if ((yield* first("SELECT id FROM service_account_keys WHERE id = ?", input.id)) !== undefined) {
    throw new ApiError("ALREADY_EXISTS", "The public key is registered already.");
  }
  yield* insertServiceAccountKey(input);
  const resource = `${serviceAccountResource(account.project, account.uniqueId)}/keys/${input.id}`;
  yield* recordChange(input.actor, resource, { origin: input.origin }, input.now);
});

interface KeyChange {
  accountId: string;
  keyId: string;
  change: "enable" | "disable" | "delete";
  actor: Actor;
  now: number;
}

/** Whatever was made with the key ends with it. @throws ApiError NOT_FOUND */
export const changeKey = command("identity.changeKey", function* (input: KeyChange) {
  const account = yield* requireAccount(input.accountId);
  const key = yield* first<{ id: string }>(
    "SELECT id FROM service_account_keys WHERE id = ? AND account_id = ? AND origin <> 'SYSTEM_MANAGED'",
    input.keyId,
    input.accountId,
  );
  if (key === undefined) throw new ApiError("NOT_FOUND", `Service account key ${input.keyId} does not exist.`);
  if (input.change === "delete") yield* run("DELETE FROM service_account_keys WHERE id = ?", input.keyId);
  else {
    const disabled = input.change === "disable" ? 1 : 0;
    yield* run("UPDATE service_account_keys SET disabled = ? WHERE id = ?", disabled, input.keyId);
  }
  yield* bumpVersion("identity");
  const resource = `${serviceAccountResource(account.project, account.uniqueId)}/keys/${input.keyId}`;
  yield* recordChange(input.actor, resource, { change: input.change }, input.now);
});

function* requireAccount(uniqueId: string): Steps<ServiceAccount> {
  const account = yield* findServiceAccount(uniqueId);
  if (account === undefined) throw unknownAccount(uniqueId);
  return account;
}

export function unknownAccount(name: string): ApiError {
  return new ApiError("NOT_FOUND", `Unknown service account: ${name.slice(0, 300)}.`);
}
