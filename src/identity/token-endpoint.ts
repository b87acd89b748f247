import type { Call } from "../access/caller.ts";
import type { SigningKeys } from "../keys/signing-keys.ts";
import type { AccessTokens } from "./access-tokens.ts";
import { type Assertion, readAssertion } from "./assertions.ts";
import { holderOf } from "./authenticator.ts";
import { issueIdToken } from "./id-tokens.ts";
import type { OwnNames } from "./own-names.ts";
import { noStore, OAuthError } from "./oauth-error.ts";
import type { Standing } from "./standing.ts";
import { accessTokenSeconds } from "./token-lifetimes.ts";

/** What a token endpoint needs to know and to sign. */
export interface TokenIssuer {
  standing: Standing;
  accessTokens: AccessTokens;
  signingKeys: SigningKeys;
  /** The server's public address, the issuer of its ID tokens. */
  issuer: string;
  isOwnName: OwnNames;
}

/** A form that came to the token endpoint. */
export interface TokenForm {
  form: URLSearchParams;
  /** Where it was sent, as the client sees it: `https://HOST/token`. */
  endpoint: string;
  call: Call;
  now: number;
}

/** One kind of grant; answers what goes out. @throws OAuthError */
export type GrantHandler = (issuer: TokenIssuer, request: TokenForm) => Promise<object>;

/** What Google's own endpoints are called, in whose place this server answers. */
const googleEndpoints = [
  "https://oauth2.googleapis.com/token",
  "https://www.googleapis.com/oauth2/v4/token",
  "https://accounts.google.com/o/oauth2/token",
  "https://www.googleapis.com/oauth2/v3/token",
];

export const jwtBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/** Answers a request for tokens. */
export async function answerTokenRequest(
  issuer: TokenIssuer,
  grants: Readonly<Record<string, GrantHandler>>,
  request: TokenForm,
): Promise<Response> {
  try {
    const type = request.form.get("grant_type") ?? "";
    const grant = Object.hasOwn(grants, type) ? grants[type] : undefined;
    if (grant === undefined)
      throw new OAuthError("unsupported_grant_type", `Invalid grant_type: ${type.slice(0, 100)}`);
    return Response.json(await grant(issuer, request), { headers: noStore });
  } catch (error) {
    if (error instanceof OAuthError) return error.toResponse();
    throw error;
  }
}

/**
 * A JWT that a service account signed, for an access token with the scopes it names, or for an ID token to the
 * audience it names. [RFC 7523; Google, "Using OAuth 2.0 for Server to Server Applications"]
 */
export const assertionGrant: GrantHandler = async (issuer, { form, endpoint, now }) => {
  const assertion = await readAssertion(form.get("assertion") ?? "", issuer.standing, now);
  if (assertion === undefined) throw new OAuthError("invalid_grant", "Invalid JWT Signature.");
  const { aud, iss, sub, scope, target_audience: audience } = assertion;
  const own = issuer.isOwnName(URL.parse(endpoint)?.hostname ?? "") ? [endpoint] : [];
  if (aud === undefined || ![...googleEndpoints, ...own, `${issuer.issuer}/token`].includes(aud)) {
    throw new OAuthError("invalid_grant", "Invalid JWT: the audience is not this token endpoint.");
  }
  if (sub !== undefined && sub !== "" && sub !== iss) {
    throw new OAuthError("unauthorized_client", "A service account cannot act for a user here: leave out 'sub'.");
  }
  if (audience !== undefined) return { id_token: await idTokenFor(issuer, assertion, audience, now) };
  if (scope === undefined || scope === "") throw new OAuthError("invalid_scope", "Missing scope or target_audience.");
  const issuedAt = Math.floor(now / 1000);
  const expiresAt = Math.min(issuedAt + accessTokenSeconds, Math.floor(assertion.key.expiresAt / 1000));
  const token = await issuer.accessTokens.issue({
    holder: holderOf(assertion.key),
    scope,
    issuedAt: now / 1000,
    expiresAt,
  });
  return { access_token: token, expires_in: expiresAt - issuedAt, token_type: "Bearer", scope };
};

function idTokenFor(issuer: TokenIssuer, { key }: Assertion, audience: string, now: number): Promise<string> {
  const issuedAt = Math.floor(now / 1000);
  return issueIdToken(issuer.signingKeys, {
    issuer: issuer.issuer,
    audience,
    subject: key.accountId,
    email: key.email,
    issuedAt,
    expiresAt: issuedAt + accessTokenSeconds,
  });
}
