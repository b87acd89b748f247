import { recordEvent } from "../access/audit/audit-log.ts";
import { makeSigningKey, insertSigningKey, type NewSigningKey } from "../keys/signing-keys.ts";
import { command, type Database } from "../metadata/database.ts";
import { bumpVersion } from "../metadata/freshness.ts";
import { all, run } from "../metadata/statement.ts";

const hour = 3600_000;

/** A key that is older than this is followed by a new one. */
export const rotationDays = 30;
/** A key that was followed is kept as long as anything that it signed can be good: tokens live 12 hours at most. */
const keptFor = 24 * hour;

interface Rotation {
  /** `undefined`: the newest is young enough. */
  made: NewSigningKey | undefined;
  now: number;
}

/** Adds a new key, and removes those that were followed long enough ago. */
export const rotateKeys = command("identity.rotateKeys", function* ({ made, now }: Rotation) {
  if (made !== undefined) yield* insertSigningKey(made);
  const keys = yield* all<{ id: string; created_at: number }>(
    "SELECT id, created_at FROM signing_keys ORDER BY created_at DESC, id",
  );
  // Each key is followed by the one before it in this order.
  const retired = keys.filter((_, i) => i > 0 && (keys[i - 1]?.created_at ?? now) < now - keptFor).map(({ id }) => id);
  for (const id of retired) yield* run("DELETE FROM signing_keys WHERE id = ?", id);
  if (made === undefined && retired.length === 0) return;
  yield* bumpVersion("keys");
  const call = { service: "oauth2.googleapis.com", method: "berth.keys.Rotate" };
  const detail = { ...(made !== undefined && { added: made.id }), ...(retired.length > 0 && { removed: retired }) };
  yield* recordEvent(call, { resource: "//oauth2.googleapis.com/signingKeys", project: undefined }, detail, now);
});

/** Makes a new signing key where the newest is old, and removes those that nothing needs any more. */
export async function rotateSigningKeys(database: Database, now: number): Promise<void> {
  const newest = await database.readRow<{ created_at: number }>(
    "SELECT created_at FROM signing_keys ORDER BY created_at DESC LIMIT 1",
  );
  const isOld = newest === undefined || newest.created_at < now - rotationDays * 24 * hour;
  await database.write(rotateKeys, { made: isOld ? await makeSigningKey(now) : undefined, now });
}
