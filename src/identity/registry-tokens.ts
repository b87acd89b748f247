import { decodeProtectedHeader, jwtVerify, SignJWT } from "jose";
import { z } from "zod";
import { type SigningKeys, signingAlgorithm } from "../keys/signing-keys.ts";
import type { Principal } from "../names/principals.ts";

/** One resource of a registry token, in the form of a Docker scope. [distribution, "Token Scope Documentation"] */
export interface TokenAccess {
  type: "repository" | "registry";
  /** A repository's path, `PROJECT/*` for all of a project, or `catalog`. */
  name: string;
  actions: string[];
}

export interface RegistryToken {
  principal: Principal;
  /** The service-account key that asked for it; empty for an anonymous token. */
  keyId: string;
  /** The registry host it is good for. */
  host: string;
  access: TokenAccess[];
  /** In seconds since the epoch, as in JWTs. */
  issuedAt: number;
  expiresAt: number;
}

const issuer = "berth-registry";

const claimsShape = z.object({
  sub: z.string(),
  aud: z.string(),
  iat: z.number(),
  exp: z.number(),
  key: z.string(),
  access: z.array(
    z.object({ type: z.enum(["repository", "registry"]), name: z.string(), actions: z.array(z.string()) }),
  ),
});

/** The tokens that `/v2/token` gives out: who, on which host, for what; signed, and nothing else in them. */
export class RegistryTokens {
  readonly #keys: SigningKeys;

  constructor(keys: SigningKeys) {
    this.#keys = keys;
  }

  async issue(token: RegistryToken): Promise<string> {
    const key = await this.#keys.newest();
    return new SignJWT({ access: token.access, key: token.keyId })
      .setProtectedHeader({ alg: signingAlgorithm, kid: key.id, typ: "JWT" })
      .setIssuer(issuer)
      .setSubject(token.principal)
      .setAudience(token.host)
      .setIssuedAt(token.issuedAt)
      .setExpirationTime(token.expiresAt)
      .sign(key.privateKey);
  }

  /** What a token says, or `undefined` unless one of our own keys signed it and it has not expired. */
  async verify(text: string): Promise<RegistryToken | undefined> {
    try {
      // The key is looked up among ours by its id; one that stands in the token itself counts for nothing.
      const key = await this.#keys.find(decodeProtectedHeader(text).kid ?? "");
      if (key === undefined) return undefined;
      const { payload } = await jwtVerify(text, key.publicKey, { issuer, algorithms: [signingAlgorithm] });
      const { sub, aud, iat, exp, key: keyId, access } = claimsShape.parse(payload);
      return { principal: sub, keyId, host: aud, access, issuedAt: iat, expiresAt: exp };
    } catch {
      return undefined;
    }
  }
}
