import type { KeyOrigin, ServiceAccount } from "./service-accounts.ts";

/** A service account as the API shows it. [IAM, REST resource projects.serviceAccounts] */
export function viewAccount(account: ServiceAccount): object {
  const { uniqueId, email, project, displayName, description, disabled } = account;
  const etag = Bun.CryptoHasher.hash("sha256", JSON.stringify(account), "base64").slice(0, 10);
  return {
    name: `projects/${project}/serviceAccounts/${email}`,
    projectId: project,
    uniqueId,
    email,
    ...(displayName !== "" && { displayName }),
    ...(description !== "" && { description }),
    etag: Buffer.from(etag).toString("base64"),
    oauth2ClientId: uniqueId,
    ...(disabled && { disabled }),
  };
}

export interface KeyRow {
  id: string;
  public_key: string;
  origin: KeyOrigin;
  disabled: number;
  created_at: number;
  expires_at: number | null;
}

export const keyColumns = "id, public_key, origin, disabled, created_at, expires_at";

/** A key as the API shows it; of a pair only the public half is there to be shown. [IAM, ServiceAccountKey] */
export function viewKey({ project, email }: ServiceAccount, row: KeyRow): object {
  const isManaged = row.origin === "SYSTEM_MANAGED";
  return {
    name: `projects/${project}/serviceAccounts/${email}/keys/${row.id}`,
    validAfterTime: timeText(row.created_at),
    validBeforeTime: row.expires_at === null ? "9999-12-31T23:59:59Z" : timeText(row.expires_at),
    keyAlgorithm: "KEY_ALG_RSA_2048",
    keyOrigin: row.origin === "USER_PROVIDED" ? "USER_PROVIDED" : "GOOGLE_PROVIDED",
    keyType: isManaged ? "SYSTEM_MANAGED" : "USER_MANAGED",
    ...(row.disabled !== 0 && { disabled: true }),
  };
}

/** In whole seconds, as IAM writes times. */
function timeText(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
