import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { blobStoreSuite } from "./blob-store.suite.ts";
import { FilesystemStore } from "./filesystem.ts";

for (const transfer of ["file", "stream"] as const) {
  blobStoreSuite(`FilesystemStore, transfer: ${transfer}`, () => {
    const directory = mkdtempSync(join(tmpdir(), "berth-store-"));
    return Promise.resolve({
      open: () => FilesystemStore.open("default", directory, transfer),
      remove: () => Promise.resolve(rmSync(directory, { recursive: true, force: true })),
    });
  });
}
