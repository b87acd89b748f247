import { LRUCache } from "lru-cache";
import type { Bound, Caller } from "../access/caller.ts";
import type { Freshness } from "../metadata/freshness.ts";
import { anonymous, serviceAccountPrincipal } from "../names/principals.ts";
import type { AccessTokens } from "./access-tokens.ts";
import { type Assertion, readAssertion } from "./assertions.ts";
import type { Holder } from "./holder.ts";
import { parseKeyFile, provesKey } from "./key-files.ts";
import type { OwnNames } from "./own-names.ts";
import type { Memberships } from "./memberships.ts";
import { boundsOfScopes } from "./oauth-scopes.ts";
import type { RegistryToken, RegistryTokens } from "./registry-tokens.ts";
import type { SignInThrottle } from "./sign-in-throttle.ts";
import type { Standing, UsableKey } from "./standing.ts";

/** What a credential was found to be; a `BadCredential` in its place: it is none of ours or no longer good. */
export interface Identity {
  caller: Caller;
  /** Whose it is, for credentials that are made from it. */
  holder: Holder;
  /** When the credential ends, in ms since the epoch; Infinity: it ends only when it is taken away. */
  expiresAt: number;
}

/** `throttled`: too many secrets were tried; `retryAfter` says in how many seconds the next is looked at. */
export type BadCredential = { bad: "json-key" | "password" | "token" } | { bad: "throttled"; retryAfter: number };

/** A credential that is genuine; whether it still counts is looked at each time. */
interface Credential {
  holder: Holder;
  bounds: readonly Bound[] | undefined;
  /** In ms; 0 for one without an age. */
  issuedAt: number;
  expiresAt: number;
  /** The host it is for; `undefined`: any. */
  host: string | undefined;
  /** When it has to be checked anew, in ms. */
  checkedUntil: number;
}

interface Known {
  credential: Credential;
  /** Who it was, when identities were as in this generation; `undefined`: it did not count. */
  identity: Identity | undefined;
  generation: number;
}

const nobody: Holder = {
  principal: anonymous,
  accountId: "",
  keyId: "",
  tokenIds: [],
  sets: [],
  delegation: [],
  origins: [],
};

/** How long a key file that has proved itself is believed without a new proof; its state is looked at each time. */
const provenFor = 10 * 60_000;

/** User names with an access token, or a JWT that a service account signed, as the password. */
const tokenUser = /^(?:oauth2accesstoken|_token|_dcgcloud_token|_dcgcr_[0-9_]+_token)$/;

interface AuthenticatorOptions {
  standing: Standing;
  memberships: Memberships;
  registryTokens: RegistryTokens;
  accessTokens: AccessTokens;
  freshness: Freshness;
  boundsOf: (token: RegistryToken) => Bound[];
  isOwnName: OwnNames;
  throttle: SignInThrottle;
  now: () => number;
}

/** Finds out who calls from an Authorization header. */
export class Authenticator {
  readonly #options: AuthenticatorOptions;
  /** Checked credentials by their header, emptied when signing keys change. */
  readonly #known = new LRUCache<string, Known>({ max: 10_000 });
  #nobody: Identity | undefined;
  #keysGeneration = 0;

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
    options.freshness.whenChanged("keys", () => {
      this.#known.clear();
      this.#keysGeneration++;
    });
  }

  /**
   * @param host the host that the request names: a token for another is none
   * @param address the client's, for the throttle
   */
  async identify(authorization: string | null, host: string, address: string): Promise<Identity | BadCredential> {
    if (authorization === null || authorization === "") return (this.#nobody ??= await this.#anonymous());
    const name = cacheName(authorization);
    let known = this.#known.get(name);
    const now = this.#options.now();
    if (known === undefined || known.credential.checkedUntil <= now) {
      const keysGeneration = this.#keysGeneration;
      const credential = await this.#check(authorization, address);
      if ("bad" in credential) return credential;
      known = { credential, identity: undefined, generation: -1 };
      if (keysGeneration === this.#keysGeneration) this.#known.set(name, known);
    }
    if (known.credential.host !== undefined && known.credential.host !== host) return { bad: "token" };
    const { generation } = this.#options.standing;
    if (known.generation !== generation) {
      known.identity = await this.#identityOf(known.credential);
      known.generation = generation;
    }
    return known.identity ?? { bad: "token" };
  }

  async #anonymous(): Promise<Identity> {
    const identities = await this.#options.memberships.of(anonymous);
    return { caller: { ...nobody, identities, bounds: undefined, issuedAt: 0 }, holder: nobody, expiresAt: Infinity };
  }

  /** Who holds the credential; `undefined` if what stood behind it is gone: its key, its account, itself. */
  async #identityOf({ holder, bounds, issuedAt, expiresAt }: Credential): Promise<Identity | undefined> {
    const { standing, memberships } = this.#options;
    const { principal, accountId, keyId, tokenIds, sets, delegation } = holder;
    const origins = accountId === "" ? holder.origins : [...holder.origins, { accountId, issuedAt }];
    if (keyId !== "" && (await standing.usableKey(keyId)) === undefined) return undefined;
    for (const origin of origins) {
      const account = await standing.account(origin.accountId);
      if (account === undefined) return undefined;
      if (origin.issuedAt !== 0 && origin.issuedAt < account.credentialsSince) return undefined;
      // The address may be another's by now.
      if (origin === origins.at(-1) && (account.principal ?? principal) !== principal) return undefined;
    }
    for (const id of tokenIds) if (await standing.isRevoked(id)) return undefined;
    const identities = await memberships.of(principal, sets);
    const caller = { principal, identities, keyId, tokenIds, delegation, origins, bounds, issuedAt };
    return { caller, holder, expiresAt };
  }

  async #check(authorization: string, address: string): Promise<Credential | BadCredential> {
    const space = authorization.indexOf(" ");
    const scheme = authorization.slice(0, space).toLowerCase();
    const value = authorization.slice(space + 1).trim();
    if (scheme === "bearer") return (await this.#checkToken(value)) ?? { bad: "token" };
    if (scheme === "basic") return this.#checkPassword(value, address);
    return { bad: "password" };
  }

  async #checkToken(text: string): Promise<Credential | undefined> {
    const { registryTokens, accessTokens, boundsOf, isOwnName, standing, now } = this.#options;
    const registry = await registryTokens.read(text, now());
    if (registry !== undefined) return { ...lifetimeOf(registry), bounds: boundsOf(registry), host: registry.host };
    const access = await accessTokens.read(text, now());
    if (access !== undefined) return { ...lifetimeOf(access), bounds: boundsOfScopes(access.scope), host: undefined };
    const assertion = await readAssertion(text, standing, now());
    return assertion === undefined ? undefined : selfSigned(assertion, isOwnName);
  }

  async #checkPassword(encoded: string, address: string): Promise<Credential | BadCredential> {
    const decoded = Buffer.from(encoded, "base64").toString("utf8");
    const colon = decoded.indexOf(":");
    const user = decoded.slice(0, colon);
    const password = decoded.slice(colon + 1);
    if (tokenUser.test(user)) return (await this.#checkToken(password)) ?? { bad: "password" };
    if (user !== "_json_key" && user !== "_json_key_base64") return { bad: "password" };
    const text = user === "_json_key" ? password : Buffer.from(password, "base64").toString("utf8");
    const file = parseKeyFile(text);
    if (file === undefined) return { bad: "json-key" };
    const { standing, throttle, now } = this.#options;
    const key = await standing.usableKey(file.private_key_id);
    // The right file is always taken: others who fail at the same address, behind one proxy say, keep nobody out.
    if (key === undefined || key.expiresAt <= now() || !provesKey(file, key)) {
      const retryAfter = throttle.wait(file.client_email, address);
      if (retryAfter > 0) return { bad: "throttled", retryAfter };
      throttle.failed(file.client_email, address);
      return { bad: "password" };
    }
    const checkedUntil = Math.min(now() + provenFor, key.expiresAt);
    const { expiresAt } = key;
    return { holder: holderOf(key), bounds: undefined, issuedAt: 0, expiresAt, host: undefined, checkedUntil };
  }
}

function lifetimeOf({ holder, issuedAt, expiresAt }: { holder: Holder; issuedAt: number; expiresAt: number }) {
  return { holder, issuedAt: Math.round(issuedAt * 1000), expiresAt: expiresAt * 1000, checkedUntil: expiresAt * 1000 };
}

export function holderOf(key: UsableKey): Holder {
  return { ...nobody, principal: serviceAccountPrincipal(key.email), accountId: key.accountId, keyId: key.id };
}

/**
 * A JWT that a service account signed, in place of an access token: with scopes, or for one of the APIs that this
 * server stands for. One for a token endpoint is none. [Google, "Service account authorization without OAuth"]
 */
function selfSigned({ key, scope, aud, iat, exp, sub, iss }: Assertion, isOwnName: OwnNames): Credential | undefined {
  if (sub !== undefined && sub !== iss) return undefined;
  // Go's library sends an empty audience beside scopes. One that is named has to be this server.
  const isForUs = aud === undefined || aud === "" ? scope !== undefined : isAudience(aud, isOwnName);
  if (!isForUs) return undefined;
  const expiresAt = Math.min(exp * 1000, key.expiresAt);
  return {
    holder: holderOf(key),
    bounds: scope === undefined ? undefined : boundsOfScopes(scope),
    // Its signer's clock counts in whole seconds: made at the end of one, so that a project made in it is within reach.
    issuedAt: iat * 1000 + 999,
    expiresAt,
    host: undefined,
    checkedUntil: expiresAt,
  };
}

/** Not what the request calls the server: whoever was given the token for another could call it anything. */
function isAudience(audience: string, isOwnName: OwnNames): boolean {
  const url = URL.parse(audience);
  return url !== null && url.pathname === "/" && isOwnName(url.hostname);
}

/** A token stands for itself. A key file is long, and lives longer: its hash must do. */
function cacheName(authorization: string): string {
  if (/^bearer /i.test(authorization)) return authorization;
  return Bun.CryptoHasher.hash("sha256", authorization, "base64");
}

export function isBadCredential(result: Identity | BadCredential): result is BadCredential {
  return "bad" in result;
}
