import type { Database } from "../metadata/database.ts";
import { FreshCache } from "../metadata/fresh-cache.ts";
import type { Freshness } from "../metadata/freshness.ts";
import { serviceAccountPrincipal, type Principal, userPrincipal } from "../names/principals.ts";
import { poolOfAccountId } from "./federation/pool-names.ts";

/** A service account's key as credentials are checked with. */
export interface UsableKey {
  id: string;
  email: string;
  accountId: string;
  /** SPKI in PEM. */
  publicKey: string;
  /** When it ends, in ms; Infinity for one that does not. */
  expiresAt: number;
}

/** Somebody who may sign in. */
interface Account {
  /** `undefined`: the account is a pool, of which many are. */
  principal: Principal | undefined;
  /** Credentials made before do not count any more, in ms. */
  credentialsSince: number;
}

/**
 * What stands behind credentials, as it is now: keys, accounts, revocations. Each is read once and kept until
 * anything about identities changes. Only what exists is kept: strangers must not fill the cache.
 */
export class Standing {
  readonly #database: Database;
  readonly #keys: FreshCache<string, UsableKey>;
  readonly #accounts: FreshCache<string, Account>;
  #generation = 0;

  constructor(database: Database, freshness: Freshness) {
    this.#database = database;
    this.#keys = new FreshCache(freshness, "identity");
    this.#accounts = new FreshCache(freshness, "identity");
    freshness.whenChanged("identity", () => this.#generation++);
  }

  /** Differs from an earlier one if anything about identities may have changed in between. */
  get generation(): number {
    return this.#generation;
  }

  /** A key that is not disabled, of an account that is not, in a project that is active. */
  async usableKey(id: string): Promise<UsableKey | undefined> {
    return this.#keys.find(id, () => this.#usableKey(id));
  }

  async #usableKey(id: string): Promise<UsableKey | undefined> {
    const row = await this.#database.readRow<{
      email: string;
      unique_id: string;
      public_key: string;
      expires_at: number | null;
    }>(
      `SELECT a.email, a.unique_id, k.public_key, k.expires_at
         FROM service_account_keys k JOIN service_accounts a ON a.unique_id = k.account_id
         JOIN projects p ON p.id = a.project_id
         WHERE k.id = ? AND k.disabled = 0 AND a.disabled = 0 AND a.deleted_at IS NULL
           AND p.delete_requested_at IS NULL`,
      id,
    );
    if (row === undefined) return undefined;
    const { email, unique_id, public_key, expires_at } = row;
    return { id, email, accountId: unique_id, publicKey: public_key, expiresAt: expires_at ?? Infinity };
  }

  /** Who has this unique id, if they may sign in. */
  async account(uniqueId: string): Promise<Account | undefined> {
    return this.#accounts.find(uniqueId, async () => {
      const pool = poolOfAccountId(uniqueId);
      if (pool !== undefined) return this.#pool(pool.number, pool.pool);
      return (await this.#serviceAccount(uniqueId)) ?? this.#user(uniqueId);
    });
  }

  /** Credentials of a pool do not count while it is disabled; what made them, a provider, may be gone. */
  async #pool(number: string, pool: string): Promise<Account | undefined> {
    const row = await this.#database.readRow(
      `SELECT l.id FROM workload_identity_pools l JOIN projects p ON p.id = l.project_id
         WHERE p.number = ? AND l.id = ? AND l.disabled = 0 AND l.deleted_at IS NULL AND p.delete_requested_at IS NULL`,
      number,
      pool,
    );
    return row === undefined ? undefined : { principal: undefined, credentialsSince: 0 };
  }

  async isRevoked(tokenId: string): Promise<boolean> {
    return (await this.#database.readRow("SELECT id FROM revoked_tokens WHERE id = ?", tokenId)) !== undefined;
  }

  async #serviceAccount(uniqueId: string): Promise<Account | undefined> {
    const row = await this.#database.readRow<{ email: string }>(
      `SELECT a.email FROM service_accounts a JOIN projects p ON p.id = a.project_id
         WHERE a.unique_id = ? AND a.disabled = 0 AND a.deleted_at IS NULL AND p.delete_requested_at IS NULL`,
      uniqueId,
    );
    return row === undefined ? undefined : { principal: serviceAccountPrincipal(row.email), credentialsSince: 0 };
  }

  async #user(uniqueId: string): Promise<Account | undefined> {
    const row = await this.#database.readRow<{ email: string; credentials_since: number }>(
      "SELECT email, credentials_since FROM users WHERE unique_id = ? AND disabled = 0 AND deleted_at IS NULL",
      uniqueId,
    );
    if (row === undefined) return undefined;
    return { principal: userPrincipal(row.email), credentialsSince: row.credentials_since };
  }
}
