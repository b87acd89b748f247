import { command, type Database } from "../../metadata/database.ts";
import { all, run, type Steps } from "../../metadata/statement.ts";

/** Entries that one transaction removes at most. */
const step = 1000;

/** Removes some of the entries made before; answers how many. */
export const removeEntries = command("access.removeEntries", function* ({ before }: { before: number }): Steps<number> {
  const rows = yield* all<{ id: number }>("SELECT id FROM audit_log WHERE at < ? ORDER BY id LIMIT ?", before, step);
  const last = rows.at(-1);
  if (last !== undefined) yield* run("DELETE FROM audit_log WHERE id <= ? AND at < ?", last.id, before);
  return rows.length;
});

/** Removes all entries made before; answers how many. */
export async function trimAuditLog(database: Database, before: number): Promise<number> {
  let removed = 0;
  for (;;) {
    const some = await database.write(removeEntries, { before });
    removed += some;
    if (some < step) return removed;
  }
}
