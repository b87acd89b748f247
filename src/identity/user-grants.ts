import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import type { Actor } from "../access/audit/audit-log.ts";
import type { Call } from "../access/caller.ts";
import type { Database } from "../metadata/database.ts";
import { first } from "../metadata/statement.ts";
import { userPrincipal } from "../names/principals.ts";
import {
  dropRefreshToken,
  extendRefreshToken,
  findCode,
  findRefreshToken,
  refreshLifetime,
  saveRefreshToken,
  secretHash,
  takeCode,
} from "./authorization-codes.ts";
import type { Holder } from "./holder.ts";
import { issueIdToken } from "./id-tokens.ts";
import { findClient } from "./oauth-clients.ts";
import { revocationLifetime, revokeToken } from "./revocation.ts";
import { OAuthError } from "./oauth-error.ts";
import type { GrantHandler, TokenIssuer } from "./token-endpoint.ts";
import { accessTokenSeconds } from "./token-lifetimes.ts";

const day = 24 * 3600_000;

/** The code that a browser brought, for tokens. [RFC 6749 section 4.1.3; RFC 7636] */
export function codeGrant(database: Database): GrantHandler {
  return async (issuer, { form, call, now }) => {
    const client = requireClient(form);
    const hash = secretHash(form.get("code") ?? "");
    const taken = (await database.read(findCode(hash, now)))
      ? await database.write(takeCode, { hash, now })
      : undefined;
    if (taken !== undefined && "replayed" in taken) await endReplayed(database, taken.replayed, call, now);
    const code = taken !== undefined && "code" in taken ? taken.code : undefined;
    const isItsOwn = code?.clientId === client && code.redirectUri === form.get("redirect_uri");
    if (code === undefined || !isItsOwn || !provesChallenge(form.get("code_verifier") ?? "", code.codeChallenge)) {
      throw invalidCode();
    }
    const { userId, scope } = code;
    const user = await requireUser(database, userId);
    const refresh = `1//${randomBytes(40).toString("base64url")}`;
    const expiresAt = now + refreshLifetime;
    const isSaved = await database.write(saveRefreshToken, {
      hash: secretHash(refresh),
      userId,
      clientId: client,
      scope,
      codeHash: hash,
      actor: ownerActor(user.email, call),
      now,
      expiresAt,
    });
    if (!isSaved) throw invalidCode();
    return {
      ...(await tokensFor(issuer, user, { client, scope, refreshHash: secretHash(refresh), now })),
      refresh_token: refresh,
    };
  };
}

function invalidCode(): OAuthError {
  return new OAuthError("invalid_grant", "The code is not valid, was used before, or is another client's.");
}

/** A code that comes twice was stolen, by the first or by the second: what it was given for ends. [RFC 6749 section 4.1.2] */
async function endReplayed(database: Database, hash: string | undefined, call: Call, now: number): Promise<void> {
  const refresh = hash === undefined ? undefined : await database.read(findRefreshToken(hash, now));
  if (hash === undefined || refresh === undefined) return;
  await database.write(dropRefreshToken, { hash });
  const actor = ownerActor(refresh.email, call);
  await database.write(revokeToken, { tokenId: refreshTokenId(hash), expiresAt: now + revocationLifetime, actor, now });
}

/** A user in a call of a program that acts for them. */
export function ownerActor(email: string, call: Call): Actor {
  return { principal: userPrincipal(email), keyId: "", delegation: [], call, accesses: [] };
}

/** A refresh token, for a new access token. [RFC 6749 section 6] */
export function refreshGrant(database: Database): GrantHandler {
  return async (issuer, { form, now }) => {
    const client = requireClient(form);
    const refreshHash = secretHash(form.get("refresh_token") ?? "");
    const token = await database.read(findRefreshToken(refreshHash, now));
    if (token?.clientId !== client) throw new OAuthError("invalid_grant", "Token has been expired or revoked.");
    const user = await requireUser(database, token.userId);
    const scope = narrowed(token.scope, form.get("scope"));
    if (token.expiresAt < now + refreshLifetime - day) {
      await database.write(extendRefreshToken, { hash: refreshHash, expiresAt: now + refreshLifetime });
    }
    return tokensFor(issuer, user, { client, scope, refreshHash, now });
  };
}

/** A client is who it says; a secret that is built into a program proves nothing, but a wrong one is refused. */
function requireClient(form: URLSearchParams): string {
  const client = findClient(form.get("client_id") ?? "");
  const secret = form.get("client_secret");
  const isWrong = client?.secret !== undefined && secret !== null && secret !== "" && secret !== client.secret;
  if (client === undefined || isWrong) throw new OAuthError("invalid_client", "The OAuth client was not found.");
  return client.id;
}

/** [RFC 7636 section 4.6] */
function provesChallenge(verifier: string, challenge: string): boolean {
  if (!/^[A-Za-z0-9._~-]{43,128}$/.test(verifier)) return false;
  const made = Buffer.from(createHash("sha256").update(verifier).digest("base64url"));
  const asked = Buffer.from(challenge);
  return made.byteLength === asked.byteLength && timingSafeEqual(made, asked);
}

/** Fewer scopes than were granted may be asked for, and no others. */
function narrowed(granted: string, asked: string | null): string {
  if (asked === null || asked === "") return granted;
  const all = granted.split(" ");
  if (asked.split(" ").every((scope) => all.includes(scope))) return asked;
  throw new OAuthError("invalid_scope", "More scopes are asked for than were granted.");
}

interface SignedInUser {
  uniqueId: string;
  email: string;
}

async function requireUser(database: Database, uniqueId: string): Promise<SignedInUser> {
  const user = await database.read(
    first<SignedInUser>(
      "SELECT unique_id AS uniqueId, email FROM users WHERE unique_id = ? AND disabled = 0 AND deleted_at IS NULL",
      uniqueId,
    ),
  );
  if (user === undefined) throw new OAuthError("invalid_grant", "The user is disabled or was deleted.");
  return user;
}

interface UserTokens {
  client: string;
  scope: string;
  /** The access tokens end when the refresh token is revoked: they go back to it. */
  refreshHash: string;
  now: number;
}

async function tokensFor(
  issuer: TokenIssuer,
  user: SignedInUser,
  { client, scope, refreshHash, now }: UserTokens,
): Promise<object> {
  const issuedAt = Math.floor(now / 1000);
  const expiresAt = issuedAt + accessTokenSeconds;
  const holder: Holder = {
    principal: userPrincipal(user.email),
    accountId: user.uniqueId,
    keyId: "",
    tokenIds: [refreshTokenId(refreshHash)],
    sets: [],
    delegation: [],
    origins: [],
  };
  const [access_token, id_token] = await Promise.all([
    issuer.accessTokens.issue({ holder, scope, issuedAt: now / 1000, expiresAt }),
    issueIdToken(issuer.signingKeys, {
      issuer: issuer.issuer,
      audience: client,
      subject: user.uniqueId,
      email: user.email,
      issuedAt,
      expiresAt,
    }),
  ]);
  return { access_token, expires_in: accessTokenSeconds, token_type: "Bearer", scope, id_token };
}

/** What a refresh token is called in the tokens made from it. */
export function refreshTokenId(hash: string): string {
  return `refresh:${hash}`;
}
