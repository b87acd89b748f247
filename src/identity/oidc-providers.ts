import type { Configuration, CustomFetch } from "openid-client";
import type { Egress } from "../egress/egress.ts";
import { parseMember } from "../names/members.ts";

/** A provider that people sign in through, as `berth.yaml` has it. */
export interface OidcProvider {
  /** In addresses, and on the button. */
  name: string;
  issuer: string;
  clientId: string;
  /** `undefined` for a public client. */
  clientSecret: string | undefined;
  scope: string;
  /** The claim with the names of the groups that a person is in. */
  groupsClaim: string;
  /** What follows `@` in the addresses of its groups; without it the provider has none. */
  groupsDomain: string | undefined;
  /** Whose addresses are taken; empty: everybody's. */
  emailDomains: readonly string[];
}

/** What a person's browser keeps while it is at the provider. */
export interface PendingSignIn {
  state: string;
  nonce: string;
  verifier: string;
}

/** Who signed in, as the provider tells. */
export interface ProviderClaims {
  subject: string;
  email: string;
  displayName: string;
  groups: string[];
}

/** The provider's answer cannot be used; the message is for the person. */
export class ProviderError extends Error {
  override readonly name = "ProviderError";
}

const discoveredFor = 10 * 60_000;
const maxGroups = 1000;
const maxReply = 2 ** 20;
const patience = 10_000;

/** Loaded with the first sign-in: servers without a provider do not pay for it. */
const library = () => import("openid-client");

/** One provider, spoken to through the guarded way out. [OpenID Connect Core, authorization code flow; RFC 7636] */
export class ProviderClient {
  readonly provider: OidcProvider;
  readonly #egress: Egress;
  readonly #now: () => number;
  #discovered: { at: number; configuration: Promise<Configuration> } | undefined;

  constructor(provider: OidcProvider, egress: Egress, now: () => number) {
    this.provider = provider;
    this.#egress = egress;
    this.#now = now;
  }

  /** Where to send the browser, and what it must bring back. */
  async begin(redirectUri: string): Promise<{ url: URL; pending: PendingSignIn }> {
    const configuration = await this.#configuration();
    const { randomState, randomNonce, randomPKCECodeVerifier, buildAuthorizationUrl, calculatePKCECodeChallenge } =
      await library();
    const pending = { state: randomState(), nonce: randomNonce(), verifier: randomPKCECodeVerifier() };
    const url = buildAuthorizationUrl(configuration, {
      redirect_uri: redirectUri,
      scope: this.provider.scope,
      code_challenge: await calculatePKCECodeChallenge(pending.verifier),
      code_challenge_method: "S256",
      state: pending.state,
      nonce: pending.nonce,
    });
    return { url, pending };
  }

  /** @param callback the address that the browser came back to, with what the provider said. @throws ProviderError */
  async finish(callback: URL, { state, nonce, verifier }: PendingSignIn): Promise<ProviderClaims> {
    const configuration = await this.#configuration();
    const { authorizationCodeGrant } = await library();
    const checks = { expectedState: state, expectedNonce: nonce, pkceCodeVerifier: verifier, idTokenExpected: true };
    let claims: Record<string, unknown> | undefined;
    try {
      claims = (await authorizationCodeGrant(configuration, callback, checks)).claims();
    } catch (error) {
      throw new ProviderError(`${this.provider.name} did not confirm the sign-in.`, { cause: error });
    }
    if (claims === undefined) throw new ProviderError(`${this.provider.name} did not say who signed in.`);
    return this.#read(claims);
  }

  #read({
    sub,
    email,
    email_verified,
    name,
    [this.provider.groupsClaim]: groups,
  }: Record<string, unknown>): ProviderClaims {
    const { name: provider, emailDomains } = this.provider;
    if (typeof sub !== "string" || typeof email !== "string") {
      throw new ProviderError(`${provider} did not tell an e-mail address (is the scope "email" allowed?).`);
    }
    // Not brought into another form first: what looks like an address of somebody else's must not become it.
    const isPlain = /^[\x21-\x7e]+$/.test(email) && parseMember(`user:${email}`)?.value === email.toLowerCase();
    if (!isPlain)
      throw new ProviderError(`${provider} told ${JSON.stringify(email.slice(0, 320))}, which is no e-mail address.`);
    if (email_verified !== true) throw new ProviderError(`${provider} has not verified the address ${email}.`);
    const domain = email.split("@")[1]?.toLowerCase() ?? "";
    if (emailDomains.length > 0 && !emailDomains.includes(domain)) {
      throw new ProviderError(`Addresses of ${domain} are not taken here.`);
    }
    const list = Array.isArray(groups) ? groups.filter((group) => typeof group === "string") : [];
    return {
      subject: sub,
      email: email.toLowerCase(),
      displayName: typeof name === "string" ? name.slice(0, 100) : "",
      groups: list.slice(0, maxGroups).flatMap((group) => this.#groupAddress(group) ?? []),
    };
  }

  /**
   * A provider names groups of the domain that it is given for them and of no other: else it could put people into those
   * that were made here.
   */
  #groupAddress(group: string): string | undefined {
    const { groupsDomain } = this.provider;
    if (groupsDomain === undefined || !/^[\x20-\x7e]+$/.test(group)) return undefined;
    if (group.includes("@")) {
      const address = group.toLowerCase();
      return address.endsWith(`@${groupsDomain}`) ? address : undefined;
    }
    // No two names become one: whoever may make groups at the provider could take the name of another.
    const local = group.toLowerCase().replaceAll(/[^a-z0-9._-]/g, (sign) => `+${sign.charCodeAt(0).toString(16)}`);
    return local === "" ? undefined : `${local}@${groupsDomain}`;
  }

  /** The provider's description of itself, read anew now and then; one that could not be read is tried again. */
  #configuration(): Promise<Configuration> {
    const now = this.#now();
    if (this.#discovered === undefined || now - this.#discovered.at > discoveredFor) {
      const configuration = this.#discover();
      this.#discovered = { at: now, configuration };
      configuration.catch(() => (this.#discovered = undefined));
    }
    return this.#discovered.configuration;
  }

  async #discover(): Promise<Configuration> {
    const { issuer, clientId, clientSecret, name } = this.provider;
    const { discovery, None, ClientSecretPost, customFetch, allowInsecureRequests } = await library();
    const url = new URL(issuer);
    try {
      return await discovery(
        url,
        clientId,
        undefined,
        clientSecret === undefined ? None() : ClientSecretPost(clientSecret),
        {
          [customFetch]: guardedFetch(this.#egress),
          // Whether plain HTTP may be is for the way out to say.
          execute: url.protocol === "http:" ? [allowInsecureRequests] : [],
        },
      );
    } catch (error) {
      throw new ProviderError(`${name} cannot be reached now.`, { cause: error });
    }
  }
}

/** The library's requests, through the guarded way out; a redirect is not followed: requests carry secrets. */
function guardedFetch(egress: Egress): CustomFetch {
  return async (url, { method, headers, body }) => {
    const reply = await egress.fetch(url, {
      method: method === "POST" ? "POST" : "GET",
      headers,
      body: body instanceof URLSearchParams ? body.toString() : undefined,
      maxBytes: maxReply,
      timeout: patience,
      maxRedirects: 0,
    });
    const { status } = reply;
    return new Response(status === 204 || status === 304 ? null : (reply.body as Uint8Array<ArrayBuffer>), {
      status,
      headers: reply.headers,
    });
  };
}
