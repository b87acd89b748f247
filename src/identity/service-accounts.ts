import { bumpVersion } from "../metadata/freshness.ts";
import { first, run, type Steps } from "../metadata/statement.ts";
import type { ProjectId } from "../names/reference.ts";

/** A service account, as it is stored. [IAM, "ServiceAccount"] */
export interface ServiceAccount {
  uniqueId: string;
  email: string;
  project: ProjectId;
  displayName: string;
  description: string;
  disabled: boolean;
  createdAt: number;
  deletedAt: number | undefined;
}

export interface NewServiceAccount {
  email: string;
  uniqueId: string;
  project: ProjectId;
  displayName: string;
  description?: string;
  now: number;
}

export function* insertServiceAccount(input: NewServiceAccount): Steps<void> {
  yield* run(
    `INSERT INTO service_accounts (unique_id, email, project_id, display_name, description, created_at)
     VALUES (?, ?, ?, ?, ?, ?)`,
    input.uniqueId,
    input.email,
    input.project,
    input.displayName,
    input.description ?? "",
    input.now,
  );
  yield* bumpVersion("identity");
}

/** Where a key comes from. [IAM, "ServiceAccountKey", keyOrigin, keyType] */
export type KeyOrigin = "GOOGLE_PROVIDED" | "USER_PROVIDED" | "SYSTEM_MANAGED";

export interface NewServiceAccountKey {
  id: string;
  accountId: string;
  /** SPKI in PEM. */
  publicKey: string;
  /** PKCS #8 in PEM, for a key that signs on the account's behalf; that of a key file is never stored. */
  privateKey?: string;
  origin: KeyOrigin;
  now: number;
  expiresAt?: number;
}

export function* insertServiceAccountKey(input: NewServiceAccountKey): Steps<void> {
  yield* run(
    `INSERT INTO service_account_keys (id, account_id, public_key, private_key, origin, created_at, expires_at)
     VALUES (?, ?, ?, ?, ?, ?, ?)`,
    input.id,
    input.accountId,
    input.publicKey,
    input.privateKey ?? null,
    input.origin,
    input.now,
    input.expiresAt ?? null,
  );
  yield* bumpVersion("identity");
}

export interface ServiceAccountRow {
  unique_id: string;
  email: string;
  project_id: ProjectId;
  display_name: string;
  description: string;
  disabled: number;
  created_at: number;
  deleted_at: number | null;
}

export const accountColumns =
  "unique_id, email, project_id, display_name, description, disabled, created_at, deleted_at";

export function accountFromRow(row: ServiceAccountRow): ServiceAccount {
  return {
    uniqueId: row.unique_id,
    email: row.email,
    project: row.project_id,
    displayName: row.display_name,
    description: row.description,
    disabled: row.disabled !== 0,
    createdAt: row.created_at,
    deletedAt: row.deleted_at ?? undefined,
  };
}

/** The account that is not deleted with this address, or with this unique id. */
export function* findServiceAccount(emailOrId: string): Steps<ServiceAccount | undefined> {
  const row = yield* first<ServiceAccountRow>(
    `SELECT ${accountColumns} FROM service_accounts WHERE ${emailOrId.includes("@") ? "email" : "unique_id"} = ?
       AND deleted_at IS NULL`,
    emailOrId,
  );
  return row === undefined ? undefined : accountFromRow(row);
}
