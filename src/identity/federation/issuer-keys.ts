import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from "jose";
import { LRUCache } from "lru-cache";
import { z } from "zod";
import type { Egress } from "../../egress/egress.ts";
import { EgressError } from "../../egress/egress-error.ts";
import { OAuthError } from "../oauth-error.ts";

/** How long an issuer's keys are good without asking again; in vain asked for, they are good for a day. */
const freshFor = 10 * 60_000;
const staleFor = 24 * 3600_000;
/** Between two requests that an unknown key's id causes. */
const cooldown = 30_000;
const maxReply = 2 ** 20;
const patience = 10_000;

const jwksShape = z.looseObject({ keys: z.array(z.looseObject({ kty: z.string() })).max(100) });
const discoveryShape = z.looseObject({ issuer: z.string(), jwks_uri: z.string() });

interface KnownKeys {
  get: JWTVerifyGetKey;
  at: number;
}

/** The public keys of token issuers, read through the guarded way out. [OpenID Connect Discovery 1.0] */
export class IssuerKeys {
  readonly #egress: Egress;
  readonly #now: () => number;
  readonly #known = new LRUCache<string, KnownKeys>({ max: 1000 });
  readonly #asked = new LRUCache<string, { at: number; reply: Promise<KnownKeys> }>({ max: 1000 });

  constructor(egress: Egress, now: () => number) {
    this.#egress = egress;
    this.#now = now;
  }

  /** Finds the key that a token names; keys that an issuer has added since are found too. @throws OAuthError */
  of(issuer: string): JWTVerifyGetKey {
    return async (header, token) => {
      const known = await this.#keys(issuer, freshFor);
      try {
        return await known.get(header, token);
      } catch (error) {
        if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
        return (await this.#keys(issuer, cooldown)).get(header, token);
      }
    };
  }

  async #keys(issuer: string, maxAge: number): Promise<KnownKeys> {
    const known = this.#known.get(issuer);
    if (known !== undefined && this.#now() - known.at < maxAge) return known;
    try {
      return await this.#ask(issuer);
    } catch (error) {
      if (known !== undefined && this.#now() - known.at < staleFor) return known;
      throw error;
    }
  }

  /** One request at a time for each issuer; one that failed is not repeated at once. */
  #ask(issuer: string): Promise<KnownKeys> {
    const asked = this.#asked.get(issuer);
    if (asked !== undefined && this.#now() - asked.at < cooldown) return asked.reply;
    const reply = this.#read(issuer);
    this.#asked.set(issuer, { at: this.#now(), reply });
    // Whoever waits for it learns of a failure; here nobody does.
    reply.catch(() => undefined);
    return reply;
  }

  async #read(issuer: string): Promise<KnownKeys> {
    const at = this.#now();
    const document = discoveryShape.safeParse(
      await this.#json(`${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`),
    );
    if (!document.success) throw unusable(issuer, "its discovery document has no issuer and jwks_uri");
    if (document.data.issuer !== issuer) throw unusable(issuer, "its discovery document names another issuer");
    const keys = { get: readJwks(await this.#json(document.data.jwks_uri)), at };
    this.#known.set(issuer, keys);
    return keys;
  }

  async #json(url: string): Promise<unknown> {
    const headers = { accept: "application/json" };
    let reply;
    try {
      reply = await this.#egress.fetch(url, { headers, maxBytes: maxReply, timeout: patience, maxRedirects: 0 });
    } catch (error) {
      if (error instanceof EgressError)
        throw new OAuthError("invalid_grant", `Error connecting to the issuer: ${error.message}.`);
      throw error;
    }
    if (reply.status !== 200) throw unusable(new URL(url).host, `it answered ${reply.status}`);
    try {
      return JSON.parse(Buffer.from(reply.body).toString("utf8"));
    } catch {
      throw unusable(new URL(url).host, "its answer is no JSON");
    }
  }
}

/** @throws OAuthError if it is no key set */
export function readJwks(value: unknown): JWTVerifyGetKey {
  const parsed = jwksShape.safeParse(value);
  if (!parsed.success) throw new OAuthError("invalid_grant", "The issuer's key set cannot be read.");
  return createLocalJWKSet(parsed.data as unknown as JSONWebKeySet);
}

function unusable(issuer: string, reason: string): OAuthError {
  return new OAuthError("invalid_grant", `Error connecting to the issuer ${issuer}: ${reason}.`);
}
