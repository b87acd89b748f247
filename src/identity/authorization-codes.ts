import { type Actor, recordChange } from "../access/audit/audit-log.ts";
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

type StoredCode = AuthorizationCode & { hash: string; expiresAt: number; actor: Actor; now: number };

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
  const detail = { change: "signed in", client: input.clientId, scope: input.scope };
  yield* recordChange(input.actor, signInResource(input.actor), detail, input.now);
});

function signInResource({ principal }: Actor): string {
  return `//oauth2.googleapis.com/signIns/${principal}`;
}

/** What a code was found to be: `replayed` names the refresh token that its first use has given out, if any. */
type TakenCode = { code: AuthorizationCode } | { replayed: string | undefined };

/** A code is good once, whatever comes of it. `undefined` for one that is unknown. */
export const takeCode = command("identity.takeCode", function* ({ hash, now }: { hash: string; now: number }): Steps<
  TakenCode | undefined
> {
  const row = yield* first<AuthorizationCode & { used: number; refreshHash: string | null }>(
    `SELECT user_id AS userId, client_id AS clientId, redirect_uri AS redirectUri, code_challenge AS codeChallenge,
       scope, used, refresh_hash AS refreshHash FROM authorization_codes WHERE hash = ? AND expires_at > ?`,
    hash,
    now,
  );
  if (row === undefined) return undefined;
  const { used, refreshHash, ...code } = row;
  if (used !== 0) {
    // Its first use may still be on the way to a refresh token: it gets none.
    yield* run("UPDATE authorization_codes SET used = 2 WHERE hash = ?", hash);
    return { replayed: refreshHash ?? undefined };
  }
  yield* run("UPDATE authorization_codes SET used = 1 WHERE hash = ?", hash);
  return { code };
});

/** Whether there is a code to be taken: strangers' guesses cost no write. */
export function* findCode(hash: string, now: number): Steps<boolean> {
  const sql = "SELECT hash FROM authorization_codes WHERE hash = ? AND expires_at > ?";
  return (yield* first(sql, hash, now)) !== undefined;
}

interface RefreshToken {
  hash: string;
  userId: string;
  clientId: string;
  scope: string;
  /** Of the code that it was got for. */
  codeHash: string;
  actor: Actor;
  now: number;
  expiresAt: number;
}

/** A refresh token that is not used for so long ends, in ms. */
export const refreshLifetime = 180 * 24 * 3600_000;

/** @returns false, and nothing is kept, if the code came a second time meanwhile or its user's sign-ins were ended */
export const saveRefreshToken = command("identity.saveRefreshToken", function* (input: RefreshToken): Steps<boolean> {
  const code = yield* first(
    "UPDATE authorization_codes SET refresh_hash = ? WHERE hash = ? AND used = 1 RETURNING hash",
    input.hash,
    input.codeHash,
  );
  if (code === undefined) return false;
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
  const detail = { change: "refresh token made", client: input.clientId };
  yield* recordChange(input.actor, signInResource(input.actor), detail, input.now);
  return true;
});

interface KnownRefreshToken {
  userId: string;
  email: string;
  clientId: string;
  scope: string;
  expiresAt: number;
}

export function* findRefreshToken(hash: string, now: number): Steps<KnownRefreshToken | undefined> {
  return yield* first<KnownRefreshToken>(
    `SELECT t.user_id AS userId, u.email, t.client_id AS clientId, t.scope, t.expires_at AS expiresAt
       FROM refresh_tokens t JOIN users u ON u.unique_id = t.user_id WHERE t.hash = ? AND t.expires_at > ?`,
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
