import type { ProjectId } from "../../names/reference.ts";
import type { AccessTokens } from "../access-tokens.ts";
import type { Database } from "../../metadata/database.ts";
import { OAuthError } from "../oauth-error.ts";
import type { Standing } from "../standing.ts";
import { accessTokenSeconds } from "../token-lifetimes.ts";
import { compileMapping } from "./attribute-mapping.ts";
import type { IssuerKeys } from "./issuer-keys.ts";
import { parseProviderAudience, poolAccountId, poolPrincipal, poolSets } from "./pool-names.ts";
import { findProvider, type Provider } from "./providers.ts";
import { readSubjectToken } from "./subject-tokens.ts";

const tokenType = (name: string): string => `urn:ietf:params:oauth:token-type:${name}`;
export const tokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange";

export interface ExchangeRooms {
  database: Database;
  standing: Standing;
  accessTokens: AccessTokens;
  issuerKeys: IssuerKeys;
  /** A project by its id or number; `undefined` if there is none. */
  findProject(idOrNumber: string): Promise<ProjectId | undefined>;
}

/** Parameters of a token exchange, by their names in forms. [RFC 8693 section 2.1] */
export type ExchangeRequest = Readonly<Record<string, string>>;

/**
 * A token that another issuer gave somebody, for an access token of the principal that this is in a pool.
 * [Security Token Service API v1, "token"; RFC 8693] @throws OAuthError
 */
export async function exchangeToken(rooms: ExchangeRooms, request: ExchangeRequest, now: number): Promise<object> {
  const { audience = "", scope = "", subject_token: subject = "" } = request;
  require(request, "grant_type", [tokenExchange], "unsupported_grant_type");
  require(request, "requested_token_type", [tokenType("access_token")], "invalid_request");
  require(request, "subject_token_type", [tokenType("jwt"), tokenType("id_token")], "invalid_request");
  if (scope === "") throw new OAuthError("invalid_scope", "scope: missing; it limits what the new token may do.");
  const provider = await usableProvider(rooms, audience);
  const claims = await readSubjectToken(subject, provider, rooms.issuerKeys, now);
  const mapping = await compileMapping(provider.mapping, provider.condition);
  const { subject: name, groups, attributes } = mapping.map(claims);
  const token = await rooms.accessTokens.issue({
    holder: {
      principal: poolPrincipal(provider.pool, name),
      accountId: poolAccountId(provider.pool),
      keyId: "",
      tokenIds: [],
      sets: poolSets(provider.pool, groups, attributes),
      delegation: [],
      origins: [],
    },
    scope,
    issuedAt: now / 1000,
    expiresAt: Math.floor(now / 1000) + accessTokenSeconds,
  });
  return {
    access_token: token,
    issued_token_type: tokenType("access_token"),
    token_type: "Bearer",
    expires_in: accessTokenSeconds,
  };
}

function require(
  request: ExchangeRequest,
  name: string,
  allowed: readonly string[],
  code: "invalid_request" | "unsupported_grant_type",
): void {
  if (allowed.includes(request[name] ?? "")) return;
  throw new OAuthError(code, `${name}: expected ${allowed.join(" or ")}.`);
}

/** A provider that is not there and one that must not be used look alike. */
async function usableProvider(rooms: ExchangeRooms, audience: string): Promise<Provider> {
  const named = parseProviderAudience(audience);
  if (named === undefined) {
    throw new OAuthError(
      "invalid_request",
      "audience: expected //iam.googleapis.com/projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER.",
    );
  }
  const project = (await rooms.findProject(named.project)) ?? "";
  const provider = await rooms.database.read(findProvider(project, named.pool, named.provider));
  const isActive = provider?.disabled === false && provider.deletedAt === undefined;
  if (!isActive || (await rooms.standing.account(poolAccountId(provider.pool))) === undefined) {
    throw new OAuthError("invalid_target", "The target service indicated by 'audience' does not exist or is disabled.");
  }
  return provider;
}
