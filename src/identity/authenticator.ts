import { LRUCache } from "lru-cache";
import type { Bound, Caller } from "../access/caller.ts";
import type { Freshness } from "../metadata/freshness.ts";
import { anonymous, serviceAccountPrincipal } from "../names/principals.ts";
import { parseKeyFile, provesKey } from "./key-files.ts";
import type { RegistryToken, RegistryTokens } from "./registry-tokens.ts";
import type { ServiceAccounts } from "./service-accounts.ts";

/** What a credential was found to be; `undefined` in its place: it is none of ours or no longer good. */
export interface Identity {
  caller: Caller;
  /** The service-account key behind the credential; empty for an anonymous one. */
  keyId: string;
  /** When the credential ends, in ms since the epoch; Infinity: it ends only when it is taken away. */
  expiresAt: number;
}

export type BadCredential = { bad: "json-key" | "password" | "token" };

const nobody: Identity = {
  caller: { principal: anonymous, bounds: undefined, issuedAt: 0 },
  keyId: "",
  expiresAt: Infinity,
};

interface Known {
  identity: Identity;
  /** The host a token is for; `undefined`: any. */
  host: string | undefined;
  /** When it has to be checked anew. */
  checkedUntil: number;
}

/** How long a key file that has proved itself is believed without a new proof; its state is looked at each time. */
const provenFor = 10 * 60_000;

/** Finds out who calls from an Authorization header. */
export class Authenticator {
  readonly #accounts: ServiceAccounts;
  readonly #tokens: RegistryTokens;
  readonly #boundsOf: (token: RegistryToken) => Bound[];
  readonly #now: () => number;
  /** Checked credentials by their header, emptied when signing keys change. */
  readonly #known = new LRUCache<string, Known>({ max: 10_000 });

  constructor(options: {
    accounts: ServiceAccounts;
    tokens: RegistryTokens;
    freshness: Freshness;
    boundsOf: (token: RegistryToken) => Bound[];
    now: () => number;
  }) {
    this.#accounts = options.accounts;
    this.#tokens = options.tokens;
    this.#boundsOf = options.boundsOf;
    this.#now = options.now;
    options.freshness.whenChanged("keys", () => this.#known.clear());
  }

  /** @param host the registry host that the request names: a token for another host is none */
  async identify(authorization: string | null, host: string): Promise<Identity | BadCredential> {
    if (authorization === null || authorization === "") return nobody;
    const name = cacheName(authorization);
    let known = this.#known.get(name);
    if (known === undefined || known.checkedUntil <= this.#now()) {
      const checked = await this.#check(authorization);
      if ("bad" in checked) return checked;
      known = checked;
      this.#known.set(name, known);
    }
    if (known.host !== undefined && known.host !== host) return { bad: "token" };
    // A key that was disabled takes everything with it that was made with it.
    const { keyId } = known.identity;
    if (keyId !== "" && (await this.#accounts.usableKey(keyId)) === undefined) return { bad: "token" };
    return known.identity;
  }

  async #check(authorization: string): Promise<Known | BadCredential> {
    const space = authorization.indexOf(" ");
    const scheme = authorization.slice(0, space).toLowerCase();
    const value = authorization.slice(space + 1).trim();
    if (scheme === "bearer") return this.#checkToken(value);
    if (scheme === "basic") return this.#checkPassword(value);
    return { bad: "password" };
  }

  async #checkToken(text: string): Promise<Known | BadCredential> {
    const token = await this.#tokens.verify(text);
    if (token === undefined) return { bad: "token" };
    const caller = {
      principal: token.principal,
      bounds: this.#boundsOf(token),
      // Tokens count in whole seconds: the end of that second, so that a project made in it is within reach.
      issuedAt: token.issuedAt * 1000 + 999,
    };
    const expiresAt = token.expiresAt * 1000;
    return { identity: { caller, keyId: token.keyId, expiresAt }, host: token.host, checkedUntil: expiresAt };
  }

  async #checkPassword(encoded: string): Promise<Known | BadCredential> {
    const decoded = Buffer.from(encoded, "base64").toString("utf8");
    const colon = decoded.indexOf(":");
    const user = decoded.slice(0, colon);
    const password = decoded.slice(colon + 1);
    if (user !== "_json_key" && user !== "_json_key_base64") return { bad: "password" };
    const text = user === "_json_key" ? password : Buffer.from(password, "base64").toString("utf8");
    const file = parseKeyFile(text);
    if (file === undefined) return { bad: "json-key" };
    const registered = await this.#accounts.usableKey(file.private_key_id);
    if (registered === undefined || !provesKey(file, registered)) return { bad: "password" };
    const caller = { principal: serviceAccountPrincipal(registered.email), bounds: undefined, issuedAt: 0 };
    const identity = { caller, keyId: registered.id, expiresAt: Infinity };
    return { identity, host: undefined, checkedUntil: this.#now() + provenFor };
  }
}

/** A token stands for itself. A key file is long, and lives longer: its hash must do. */
function cacheName(authorization: string): string {
  if (/^bearer /i.test(authorization)) return authorization;
  return Bun.CryptoHasher.hash("sha256", authorization, "base64");
}

export function isBadCredential(result: Identity | BadCredential): result is BadCredential {
  return "bad" in result;
}
