import { chmodSync, closeSync, fsyncSync, mkdirSync, openSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { Database as Connection } from "bun:sqlite";

/** The data directory is in use, or cannot be used. */
export class DataDirectoryError extends Error {
  override readonly name = "DataDirectoryError";
}

export interface DataDirectory {
  path: string;
  database: string;
  adminKey: string;
  caCertificate: string;
  caKey: string;
  certificate: string;
  certificateKey: string;
  /** Where a store without a path of its own keeps its bytes. */
  store(name: string): string;
}

/**
 *     DIR/berth.db, berth.db-wal, berth.db-shm   metadata
 *     DIR/lock.db                                held while a server runs
 *     DIR/blobs/                                 the store `default`; others in DIR/stores/NAME/
 *     DIR/admin-key.json                         key file of the first owner
 *     DIR/ca.crt, ca.key, tls.crt, tls.key       with --tls self-signed
 */
export function dataDirectory(path: string): DataDirectory {
  const root = resolve(path);
  return {
    path: root,
    database: join(root, "berth.db"),
    adminKey: join(root, "admin-key.json"),
    caCertificate: join(root, "ca.crt"),
    caKey: join(root, "ca.key"),
    certificate: join(root, "tls.crt"),
    certificateKey: join(root, "tls.key"),
    store: (name) => (name === "default" ? join(root, "blobs") : join(root, "stores", name)),
  };
}

/** Held for the life of the process: nothing else may close it, and the kernel does when the process dies. */
let lock: Connection | undefined;

/** Makes the directory and takes it for this process. @throws DataDirectoryError if another server has it */
export function claimDataDirectory({ path }: DataDirectory): void {
  try {
    const made = mkdirSync(path, { recursive: true, mode: 0o700 });
    chmodSync(path, 0o700);
    // The names of new directories survive a power cut once the directories that hold them are synced.
    if (made !== undefined) {
      for (let below = path; below.length >= made.length; below = dirname(below)) syncDirectory(dirname(below));
    }
  } catch (error) {
    throw new DataDirectoryError(`the data directory ${path} cannot be made: ${(error as Error).message}`);
  }
  const connection = new Connection(join(path, "lock.db"), { create: true, readwrite: true });
  try {
    connection.run("PRAGMA busy_timeout = 0");
    connection.run("BEGIN EXCLUSIVE");
  } catch (error) {
    if ((error as { code?: string }).code !== "SQLITE_BUSY") throw error;
    throw new DataDirectoryError(
      `another Berth is running on the data directory ${path}; stop it, or choose another with --data`,
    );
  }
  lock = connection;
}

function syncDirectory(path: string): void {
  const handle = openSync(path, "r");
  fsyncSync(handle);
  closeSync(handle);
}

/** Gives the directory back. */
export function releaseDataDirectory(): void {
  lock?.close();
  lock = undefined;
}
