import { command, type Database } from "../metadata/database.ts";
import { all, run } from "../metadata/statement.ts";
import { addSigningKey, makeSigningKey } from "./signing-keys.ts";

const hour = 3600_000;

/** A key that is older than this is followed by a new one. */
export const rotationDays = 30;
/** A key that was followed is kept as long as anything that it signed can be good: tokens live 12 hours at most. */
const keptFor = 24 * hour;

/** Removes the keys that were followed long enough ago. */
export const retireSigningKeys = command("keys.retire", function* ({ now }: { now: number }) {
  const keys = yield* all<{ id: string; created_at: number }>(
    "SELECT id, created_at FROM signing_keys ORDER BY created_at DESC, id",
  );
  // Each key is followed by the one before it in this order.
  const retired = keys.filter((_, i) => i > 0 && (keys[i - 1]?.created_at ?? now) < now - keptFor);
  for (const { id } of retired) yield* run("DELETE FROM signing_keys WHERE id = ?", id);
  if (retired.length > 0) yield* run("UPDATE versions SET value = value + 1 WHERE name = 'keys'");
  return retired.length;
});

/** Makes a new signing key where the newest is old, and removes those that nothing needs any more. */
export async function rotateSigningKeys(database: Database, now: number): Promise<void> {
  const newest = await database.readRow<{ created_at: number }>(
    "SELECT created_at FROM signing_keys ORDER BY created_at DESC LIMIT 1",
  );
  if (newest === undefined || newest.created_at < now - rotationDays * 24 * hour) {
    await database.write(addSigningKey, await makeSigningKey(now));
  }
  await database.write(retireSigningKeys, { now });
}
