import { type CryptoKey, exportJWK, generateKeyPair, importJWK, type JWK } from "jose";
import { FreshCache } from "../metadata/fresh-cache.ts";
import type { Freshness } from "../metadata/freshness.ts";
import { command, type Database } from "../metadata/database.ts";
import { all, run, type Steps } from "../metadata/statement.ts";

/** The algorithm of the registry's own tokens: short signatures, quick to make and to check. */
export const signingAlgorithm = "ES256";

export interface NewSigningKey {
  id: string;
  privateJwk: string;
  publicJwk: string;
  now: number;
}

export function* insertSigningKey(input: NewSigningKey): Steps<void> {
  yield* run(
    "INSERT INTO signing_keys (id, private_jwk, public_jwk, created_at) VALUES (?, ?, ?, ?)",
    input.id,
    input.privateJwk,
    input.publicJwk,
    input.now,
  );
}

/** The first key of a server. */
export const addSigningKey = command("keys.addSigningKey", function* (input: NewSigningKey) {
  yield* insertSigningKey(input);
  yield* run("UPDATE versions SET value = value + 1 WHERE name = 'keys'");
});

export async function makeSigningKey(now: number): Promise<NewSigningKey> {
  const pair = await generateKeyPair(signingAlgorithm, { extractable: true });
  const [privateJwk, publicJwk] = await Promise.all([exportJWK(pair.privateKey), exportJWK(pair.publicKey)]);
  return {
    id: crypto.randomUUID(),
    privateJwk: JSON.stringify(privateJwk),
    publicJwk: JSON.stringify(publicJwk),
    now,
  };
}

interface SigningKey {
  id: string;
  createdAt: number;
  privateKey: CryptoKey;
  publicKey: CryptoKey;
}

/** Others keep the public keys for some minutes (`oauth2/v3/certs`): a new key signs when they have seen it. */
const publishedBefore = 10 * 60_000;

/** The keys that sign and check the registry's tokens; the newest signs, once it is known. */
export class SigningKeys {
  readonly #database: Database;
  readonly #keys: FreshCache<"", SigningKey[]>;

  constructor(database: Database, freshness: Freshness) {
    this.#database = database;
    this.#keys = new FreshCache(freshness, "keys", 1);
  }

  async newest(): Promise<SigningKey> {
    const keys = await this.#all();
    const known = Date.now() - publishedBefore;
    const key = keys.find(({ createdAt }) => createdAt < known) ?? keys.at(-1);
    if (key === undefined) throw new Error("there is no signing key");
    return key;
  }

  async find(id: string): Promise<SigningKey | undefined> {
    return (await this.#all()).find((key) => key.id === id);
  }

  /** The public halves, as others check ID tokens with. [RFC 7517] */
  async publicKeys(): Promise<JWK[]> {
    const keys = await this.#all();
    return Promise.all(
      keys.map(async ({ id, publicKey }) => ({
        ...(await exportJWK(publicKey)),
        kid: id,
        use: "sig",
        alg: signingAlgorithm,
      })),
    );
  }

  #all(): Promise<SigningKey[]> {
    return this.#keys.find("", () => this.#load());
  }

  async #load(): Promise<SigningKey[]> {
    const rows = await this.#database.read(
      all<{ id: string; private_jwk: string; public_jwk: string; created_at: number }>(
        "SELECT id, private_jwk, public_jwk, created_at FROM signing_keys ORDER BY created_at DESC",
      ),
    );
    return Promise.all(
      rows.map(async ({ id, private_jwk, public_jwk, created_at }) => ({
        id,
        createdAt: created_at,
        privateKey: (await importJWK(JSON.parse(private_jwk) as JWK, signingAlgorithm)) as CryptoKey,
        publicKey: (await importJWK(JSON.parse(public_jwk) as JWK, signingAlgorithm)) as CryptoKey,
      })),
    );
  }
}
