import { command } from "../metadata/database.ts";
import { first, run, type Steps } from "../metadata/statement.ts";

/** What a code stands for until it is exchanged. */
export interface AuthorizationCode {
  userId: string;
  clientId: string;
  redirectUri: string;
  /** S256 of the verifier that the client keeps. [RFC 7636] */
  codeChallenge: string;
  scope: string;
}

/** A code is good for so long, in ms: as long as it takes to copy it. */
export const codeLifetime = 5 * 60_000;

type StoredCode = AuthorizationCode & { hash: string; expiresAt: number };

export const saveCode = command("identity.saveCode", function* (input: StoredCode) {
  yield* run("DELETE FROM authorization_codes WHERE expires_at < ?", input.expiresAt - codeLifetime);
  yield* run(
    `INSERT INTO authorization_codes (hash, user_id, client_id, redirect_uri, code_challenge, scope, expires_at)
     VALUES (?, ?, ?, ?, ?, ?, ?)`,
    input.hash,
    input.userId,
    input.clientId,
    input.redirectUri,
    input.codeChallenge,
    input.scope,
    input.expiresAt,
  );
});

/** A code is good once, whatever comes of it. */
export const takeCode = command("identity.takeCode", function* ({ hash, now }: { hash: string; now: number }): Steps<
  AuthorizationCode | undefined
> {
  return yield* first<AuthorizationCode>(
    `DELETE FROM authorization_codes WHERE hash = ? AND expires_at > ?
         RETURNING user_id AS userId, client_id AS clientId, redirect_uri AS redirectUri,
           code_challenge AS codeChallenge, scope`,
    hash,
    now,
  );
});

interface RefreshToken {
  hash: string;
  userId: string;
  clientId: string;
  scope: string;
  now: number;
  expiresAt: number;
}

/** A refresh token that is not used for so long ends, in ms. */
export const refreshLifetime = 180 * 24 * 3600_000;

export const saveRefreshToken = command("identity.saveRefreshToken", function* (input: RefreshToken) {
  yield* run("DELETE FROM refresh_tokens WHERE expires_at < ?", input.now);
  yield* run(
    `INSERT INTO refresh_tokens (hash, user_id, client_id, scope, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)`,
    input.hash,
    input.userId,
    input.clientId,
    input.scope,
    input.now,
    input.expiresAt,
  );
});

interface KnownRefreshToken {
  userId: string;
  clientId: string;
  scope: string;
  expiresAt: number;
}

export function* findRefreshToken(hash: string, now: number): Steps<KnownRefreshToken | undefined> {
  return yield* first<KnownRefreshToken>(
    "SELECT user_id AS userId, client_id AS clientId, scope, expires_at AS expiresAt FROM refresh_tokens WHERE hash = ? AND expires_at > ?",
    hash,
    now,
  );
}

/** Each use keeps the token alive. Written once a day at most, so that a refresh costs no write. */
export const extendRefreshToken = command(
  "identity.extendRefreshToken",
  function* ({ hash, expiresAt }: { hash: string; expiresAt: number }) {
    yield* run("UPDATE refresh_tokens SET expires_at = ? WHERE hash = ?", expiresAt, hash);
  },
);

/** @returns whether there was one */
export const dropRefreshToken = command(
  "identity.dropRefreshToken",
  function* ({ hash }: { hash: string }): Steps<boolean> {
    const dropped = yield* first("DELETE FROM refresh_tokens WHERE hash = ? RETURNING hash", hash);
    return dropped !== undefined;
  },
);

/** Secrets that are given out are kept as their hash: whoever reads the database cannot use them. */
export function secretHash(secret: string): string {
  return Bun.CryptoHasher.hash("sha256", secret, "hex");
}
