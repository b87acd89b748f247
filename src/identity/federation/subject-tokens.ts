import { decodeJwt, errors, type JWTPayload, jwtVerify } from "jose";
import { OAuthError } from "../oauth-error.ts";
import { type IssuerKeys, readJwks } from "./issuer-keys.ts";
import { type Provider, providerPath } from "./providers.ts";

/** [IAM, "Workload Identity Federation", token requirements] */
const maxLifetime = 24 * 3600;
const clockSkew = 60;
const maxLength = 16 * 1024;

/**
 * The claims of a token that a provider's issuer signed for it. [RFC 8693 section 2.1, subject_token]
 * @throws OAuthError invalid_grant, saying what is wrong with the token, as whoever set the provider up must learn it
 */
export async function readSubjectToken(
  text: string,
  provider: Provider,
  keys: IssuerKeys,
  now: number,
): Promise<JWTPayload> {
  if (text.length > maxLength) throw new OAuthError("invalid_grant", `The token has more than ${maxLength} bytes.`);
  requireIssuer(text, provider.issuer);
  const name = `//iam.googleapis.com/${providerPath(provider)}`;
  const audience = provider.audiences.length > 0 ? provider.audiences : [name, `https:${name}`];
  const getKey = provider.jwks === undefined ? keys.of(provider.issuer) : readJwks(JSON.parse(provider.jwks));
  try {
    const { payload } = await jwtVerify(text, getKey, {
      issuer: provider.issuer,
      audience,
      algorithms: ["RS256", "ES256"],
      currentDate: new Date(now),
      clockTolerance: clockSkew,
      requiredClaims: ["iat", "exp"],
    });
    const { iat, exp } = payload as { iat: number; exp: number };
    if (iat > now / 1000 + clockSkew) throw new OAuthError("invalid_grant", "The token was issued in the future.");
    if (exp - iat > maxLifetime) throw new OAuthError("invalid_grant", "The token lives longer than 24 hours.");
    return payload;
  } catch (error) {
    if (error instanceof errors.JOSEError) throw new OAuthError("invalid_grant", explain(error, audience));
    throw error;
  }
}

/** Before anything is asked of an issuer's server. */
function requireIssuer(text: string, issuer: string): void {
  let claimed: unknown;
  try {
    claimed = decodeJwt(text).iss;
  } catch {
    throw new OAuthError("invalid_grant", "The subject token is no JWT.");
  }
  if (claimed !== issuer) {
    const shown = JSON.stringify(claimed ?? null).slice(0, 200);
    throw new OAuthError("invalid_grant", `The issuer in the token, ${shown}, is not the provider's, "${issuer}".`);
  }
}

function explain(error: errors.JOSEError, audience: readonly string[]): string {
  if (error instanceof errors.JWTExpired) return "The token has expired.";
  if (error instanceof errors.JWKSNoMatchingKey) return "No key of the issuer fits the token.";
  if (error instanceof errors.JWTClaimValidationFailed && error.claim === "aud") {
    return `The audience in the token is none that the provider takes: ${audience.join(", ")}.`;
  }
  if (error instanceof errors.JWTClaimValidationFailed) return `The claim '${error.claim}' of the token does not fit.`;
  return "The token's signature is not valid.";
}
