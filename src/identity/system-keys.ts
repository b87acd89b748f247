import { recordEvent } from "../access/audit/audit-log.ts";
import { command, type Database } from "../metadata/database.ts";
import { first, run, type Steps } from "../metadata/statement.ts";
import { makeKey } from "./key-files.ts";
import { serviceAccountResource } from "../names/resources.ts";
import {
  findServiceAccount,
  insertServiceAccountKey,
  type NewServiceAccountKey,
  type ServiceAccount,
} from "./service-accounts.ts";

/** The key that the server signs with on an account's behalf; nobody else ever has its private half. */
export interface SystemKey {
  id: string;
  /** PKCS #8 in PEM. */
  privateKey: string;
}

const systemKeyMade = { service: "iam.googleapis.com", method: "berth.keys.MakeSystemKey" };
const day = 24 * 3600_000;
/** A key signs for so long; what it signed is good as long again at the most, and then the next has signed for long. */
const signsFor = 7 * day;
const goodFor = 2 * signsFor;

/** @returns the key that is there, made now or before; those whose time is over go */
export const keepSystemKey = command(
  "identity.keepSystemKey",
  function* (input: NewServiceAccountKey): Steps<SystemKey> {
    const { accountId, now } = input;
    const known = yield* findSystemKey(accountId, now);
    if (known !== undefined) return known;
    yield* run(
      "DELETE FROM service_account_keys WHERE account_id = ? AND origin = 'SYSTEM_MANAGED' AND expires_at < ?",
      accountId,
      now,
    );
    yield* insertServiceAccountKey({ ...input, expiresAt: now + goodFor });
    const { email, project } = (yield* findServiceAccount(accountId)) as ServiceAccount;
    const resource = `${serviceAccountResource(project, accountId)}/keys/${input.id}`;
    yield* recordEvent(systemKeyMade, { resource, project }, { email, origin: input.origin }, now);
    return (yield* findSystemKey(accountId, now)) as SystemKey;
  },
);

function* findSystemKey(accountId: string, now: number): Steps<SystemKey | undefined> {
  return yield* first<SystemKey>(
    `SELECT id, private_key AS privateKey FROM service_account_keys
       WHERE account_id = ? AND origin = 'SYSTEM_MANAGED' AND private_key IS NOT NULL AND created_at > ?
       ORDER BY created_at DESC LIMIT 1`,
    accountId,
    now - signsFor,
  );
}

/**
 * An account's system key. A new one is made each week that it is needed: what was signed ahead of its time by somebody
 * who could sign once is good for two weeks at the most.
 */
export async function systemKey(database: Database, accountId: string, now: number): Promise<SystemKey> {
  const known = await database.read(findSystemKey(accountId, now));
  if (known !== undefined) return known;
  const { id, publicKey, privateKey } = await makeKey();
  return database.write(keepSystemKey, { id, accountId, publicKey, privateKey, origin: "SYSTEM_MANAGED", now });
}
