import { SignJWT } from "jose";
import { type SigningKeys, signingAlgorithm } from "../keys/signing-keys.ts";

/** Whom an ID token speaks of, and to whom. */
export interface IdTokenInput {
  /** The server's address, where its discovery document stands. */
  issuer: string;
  audience: string;
  /** The unique id of the account. */
  subject: string;
  /** `undefined`: the token does not tell it. */
  email: string | undefined;
  issuedAt: number;
  expiresAt: number;
  /** Who asked for it, where that is not the subject. */
  authorizedParty?: string;
}

/** An ID token, which anybody can check with the keys at the issuer's `jwks_uri`. [OpenID Connect Core, section 2] */
export async function issueIdToken(keys: SigningKeys, input: IdTokenInput): Promise<string> {
  const key = await keys.newest();
  return new SignJWT({
    ...(input.email !== undefined && { email: input.email, email_verified: true }),
    azp: input.authorizedParty ?? input.subject,
  })
    .setProtectedHeader({ alg: signingAlgorithm, kid: key.id, typ: "JWT" })
    .setIssuer(input.issuer)
    .setAudience(input.audience)
    .setSubject(input.subject)
    .setIssuedAt(input.issuedAt)
    .setExpirationTime(input.expiresAt)
    .sign(key.privateKey);
}
