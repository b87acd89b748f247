import { bumpVersion, type Freshness } from "../metadata/freshness.ts";
import { command, type Database } from "../metadata/database.ts";
import { run } from "../metadata/statement.ts";
import type { ProjectId } from "../names/reference.ts";

interface NewServiceAccount {
  email: string;
  uniqueId: string;
  project: ProjectId;
  displayName: string;
  now: number;
}

export const createServiceAccount = command("identity.createServiceAccount", function* (input: NewServiceAccount) {
  yield* run(
    "INSERT INTO service_accounts (email, unique_id, project_id, display_name, created_at) VALUES (?, ?, ?, ?, ?)",
    input.email,
    input.uniqueId,
    input.project,
    input.displayName,
    input.now,
  );
  yield* bumpVersion("identity");
});

interface NewServiceAccountKey {
  id: string;
  email: string;
  /** SPKI in PEM; the private half is never stored. */
  publicKey: string;
  now: number;
}

export const addServiceAccountKey = command("identity.addServiceAccountKey", function* (input: NewServiceAccountKey) {
  yield* run(
    "INSERT INTO service_account_keys (id, email, public_key, created_at) VALUES (?, ?, ?, ?)",
    input.id,
    input.email,
    input.publicKey,
    input.now,
  );
  yield* bumpVersion("identity");
});

/** A key that may be used: neither it nor its account is disabled. */
export interface ServiceAccountKey {
  id: string;
  email: string;
  publicKey: string;
}

/** The service accounts' keys, each read once and kept until any of them changes. */
export class ServiceAccounts {
  readonly #database: Database;
  readonly #cache = new Map<string, ServiceAccountKey>();

  constructor(database: Database, freshness: Freshness) {
    this.#database = database;
    freshness.whenChanged("identity", () => this.#cache.clear());
  }

  async usableKey(id: string): Promise<ServiceAccountKey | undefined> {
    const known = this.#cache.get(id);
    if (known !== undefined) return known;
    const row = await this.#database.readRow<{ email: string; public_key: string }>(
      `SELECT k.email, k.public_key FROM service_account_keys k JOIN service_accounts a ON a.email = k.email
         WHERE k.id = ? AND k.disabled = 0 AND a.disabled = 0`,
      id,
    );
    if (row === undefined) return undefined;
    const key = { id, email: row.email, publicKey: row.public_key };
    this.#cache.set(id, key);
    return key;
  }
}
