import { z } from "zod";
import { type Holder, fromClaims, holderClaims, toClaims } from "./holder.ts";
import type { OwnTokens, TokenKind } from "./own-tokens.ts";

/** One resource of a registry token, in the form of a Docker scope. [distribution, "Token Scope Documentation"] */
export interface TokenAccess {
  type: "repository" | "registry";
  /** A repository's path, `PROJECT/*` for all of a project, or `catalog`. */
  name: string;
  actions: string[];
}

export interface RegistryToken {
  holder: Holder;
  /** The registry host it is good for. */
  host: string;
  access: TokenAccess[];
  /** In seconds since the epoch, as in JWTs; the beginning to the millisecond. */
  issuedAt: number;
  expiresAt: number;
}

const claims = holderClaims.extend({
  aud: z.string(),
  access: z.array(
    z.object({ type: z.enum(["repository", "registry"]), name: z.string(), actions: z.array(z.string()) }),
  ),
});

const kind: TokenKind<z.infer<typeof claims>> = { type: "JWT", issuer: "berth-registry", claims };

/** The tokens that `/v2/token` gives out: who, on which host, for what; signed, and nothing else in them. */
export class RegistryTokens {
  readonly #tokens: OwnTokens;

  constructor(tokens: OwnTokens) {
    this.#tokens = tokens;
  }

  issue({ holder, host, access, issuedAt, expiresAt }: RegistryToken): Promise<string> {
    return this.#tokens.sign(kind, { ...toClaims(holder), aud: host, access, iat: issuedAt, exp: expiresAt });
  }

  async read(text: string, now: number): Promise<RegistryToken | undefined> {
    const found = await this.#tokens.read(kind, text, now);
    if (found === undefined) return undefined;
    const { aud: host, access, iat: issuedAt, exp: expiresAt } = found;
    return { holder: fromClaims(found), host, access, issuedAt, expiresAt };
  }
}
