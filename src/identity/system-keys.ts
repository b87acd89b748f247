import { command, type Database } from "../metadata/database.ts";
import { first, type Steps } from "../metadata/statement.ts";
import { makeKey } from "./key-files.ts";
import { insertServiceAccountKey, type NewServiceAccountKey } from "./service-accounts.ts";

/** The key that the server signs with on an account's behalf; nobody else ever has its private half. */
export interface SystemKey {
  id: string;
  /** PKCS #8 in PEM. */
  privateKey: string;
}

/** @returns the key that is there, made now or before */
export const keepSystemKey = command(
  "identity.keepSystemKey",
  function* (input: NewServiceAccountKey): Steps<SystemKey> {
    const known = yield* findSystemKey(input.accountId);
    if (known !== undefined) return known;
    yield* insertServiceAccountKey(input);
    return (yield* findSystemKey(input.accountId)) as SystemKey;
  },
);

function* findSystemKey(accountId: string): Steps<SystemKey | undefined> {
  return yield* first<SystemKey>(
    `SELECT id, private_key AS privateKey FROM service_account_keys
       WHERE account_id = ? AND origin = 'SYSTEM_MANAGED' AND private_key IS NOT NULL
       ORDER BY created_at DESC LIMIT 1`,
    accountId,
  );
}

/** An account's system key, made the first time that it is needed. */
export async function systemKey(database: Database, accountId: string, now: number): Promise<SystemKey> {
  const known = await database.read(findSystemKey(accountId));
  if (known !== undefined) return known;
  const { id, publicKey, privateKey } = await makeKey();
  return database.write(keepSystemKey, { id, accountId, publicKey, privateKey, origin: "SYSTEM_MANAGED", now });
}
