import { z } from "zod";
import { type Holder, fromClaims, holderClaims, toClaims } from "./holder.ts";
import type { OwnTokens, TokenKind } from "./own-tokens.ts";

/** An OAuth 2.0 access token. [RFC 9068] */
export interface AccessToken {
  holder: Holder;
  /** OAuth scopes, separated by spaces. */
  scope: string;
  /**
   * In seconds since the epoch; the beginning to the millisecond, so that what was made just before a change of the
   * password, say, does not pass for having been made after it.
   */
  issuedAt: number;
  expiresAt: number;
}

const claims = holderClaims.extend({ scope: z.string() });
const kind: TokenKind<z.infer<typeof claims>> = { type: "at+jwt", issuer: "berth-access", claims };

/** The tokens that Google's tools carry: whose, and for which OAuth scopes. */
export class AccessTokens {
  readonly #tokens: OwnTokens;

  constructor(tokens: OwnTokens) {
    this.#tokens = tokens;
  }

  /** @param token `holder.tokenIds` are those it goes back to; its own is added. */
  issue({ holder, scope, issuedAt, expiresAt }: AccessToken): Promise<string> {
    const own = { ...holder, tokenIds: [...holder.tokenIds, crypto.randomUUID()] };
    return this.#tokens.sign(kind, { ...toClaims(own), scope, iat: issuedAt, exp: expiresAt });
  }

  async read(text: string, now: number): Promise<AccessToken | undefined> {
    const found = await this.#tokens.read(kind, text, now);
    if (found === undefined) return undefined;
    return { holder: fromClaims(found), scope: found.scope, issuedAt: found.iat, expiresAt: found.exp };
  }
}
