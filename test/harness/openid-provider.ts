import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type Configuration, Provider } from "oidc-provider";

/** A person as the provider knows them. */
export interface Person {
  email: string;
  email_verified: boolean;
  name?: string;
  groups?: string[];
}

/** A real OpenID provider, which lets everybody in as whom they say. */
export interface OpenIdProvider {
  issuer: string;
  /** By the name that they sign in with. */
  people: Map<string, Person>;
  stop(): Promise<void>;
}

export interface ProviderClientSettings {
  clientId: string;
  clientSecret: string;
  redirectUri: string;
}

export async function startOpenIdProvider(client: ProviderClientSettings): Promise<OpenIdProvider> {
  const people = new Map<string, Person>();
  const configuration: Configuration = {
    clients: [
      {
        client_id: client.clientId,
        client_secret: client.clientSecret,
        redirect_uris: [client.redirectUri],
        token_endpoint_auth_method: "client_secret_post",
      },
    ],
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name", "groups"] },
    // Claims stand in the ID token, as with most providers.
    conformIdTokenClaims: false,
    cookies: { keys: ["test"] },
    pkce: { required: () => true },
    findAccount: (_, id) => {
      const person = people.get(id);
      return person && { accountId: id, claims: () => Promise.resolve({ sub: id, ...person }) };
    },
    features: { devInteractions: { enabled: true } },
  };
  // The issuer has the port in it, and the listener wants a handler: the one is made when the other is known.
  let handle: ReturnType<Provider["callback"]> | undefined;
  const server = createServer((request, response) => void handle?.(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  handle = new Provider(issuer, configuration).callback();
  return {
    issuer,
    people,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
