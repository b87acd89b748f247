import type { BlobStore } from "../blobs/blob-store.ts";
import type { Database } from "../metadata/database.ts";
import { expireUploads } from "./upload-commands.ts";

const batch = 100;

/** Gives up the uploads that nobody continued since `before`, in small steps. Answers how many. */
export async function sweepUploads(
  database: Database,
  stores: ReadonlyMap<string, BlobStore>,
  before: number,
): Promise<number> {
  for (let total = 0; ;) {
    const { count, segments } = await database.write(expireUploads, { before, limit: batch });
    for (const { store, key } of segments) await stores.get(store)?.removeStaged(key);
    total += count;
    if (count < batch) return total;
  }
}

/**
 * Removes staged bytes that no upload knows and that nobody has written to since `before`: what a crash left between
 * writing a segment and committing it. Answers how many.
 */
export async function sweepStaging(database: Database, store: BlobStore, before: number): Promise<number> {
  let removed = 0;
  for await (const { key, changedAt } of store.listStaged()) {
    if (changedAt >= before) continue;
    // Segments are named after their upload.
    const id = key.slice(0, key.indexOf("."));
    const sql = "SELECT 1 AS known FROM upload_segments WHERE upload_id = ? AND staging_key = ?";
    if ((await database.readRow(sql, id, key)) !== undefined) continue;
    await store.removeStaged(key);
    removed++;
  }
  return removed;
}
