import { jwtVerify, SignJWT } from "jose";
import type { z } from "zod";
import { keyIdOf } from "../keys/token-header.ts";
import { type SigningKeys, signingAlgorithm } from "../keys/signing-keys.ts";

/** A kind of token that the server makes for itself to read: signed, and told from other kinds by its type. */
export interface TokenKind<Claims extends object> {
  /** The `typ` of the header and the issuer: a token of one kind is never taken for another. [RFC 8725 section 3.11] */
  type: string;
  issuer: string;
  claims: z.ZodType<Claims>;
}

/** Registered claims, in seconds since the epoch. */
interface Lifetime {
  iat: number;
  exp: number;
}

/** Makes and reads tokens that one of the server's own keys signs. */
export class OwnTokens {
  readonly #keys: SigningKeys;

  constructor(keys: SigningKeys) {
    this.#keys = keys;
  }

  async sign<Claims extends object>(kind: TokenKind<Claims>, claims: Claims & Lifetime): Promise<string> {
    const key = await this.#keys.newest();
    return new SignJWT({ ...claims, iss: kind.issuer })
      .setProtectedHeader({ alg: signingAlgorithm, kid: key.id, typ: kind.type })
      .sign(key.privateKey);
  }

  /** What a token says, or `undefined` unless one of our own keys signed it as this kind and it has not expired. */
  async read<Claims extends object>(
    kind: TokenKind<Claims>,
    text: string,
    now: number,
  ): Promise<(Claims & Lifetime) | undefined> {
    try {
      // The key is looked up among ours by its id; one that stands in the token itself counts for nothing.
      const key = await this.#keys.find(keyIdOf(text));
      if (key === undefined) return undefined;
      const { payload } = await jwtVerify(text, key.publicKey, {
        issuer: kind.issuer,
        typ: kind.type,
        algorithms: [signingAlgorithm],
        currentDate: new Date(now),
        requiredClaims: ["iat", "exp"],
      });
      return { ...kind.claims.parse(payload), iat: payload.iat as number, exp: payload.exp as number };
    } catch {
      return undefined;
    }
  }
}
