import { type ApiCall, type ApiRoute, apiRoute } from "../access/api-route.ts";
import { actorFor } from "../access/audit/audit-log.ts";
import { ApiError } from "../http/api-error.ts";
import { BerthError } from "../http/berth-error.ts";
import { type IdleLimit, readBody } from "../http/body.ts";
import type { Database } from "../metadata/database.ts";
import { emailOf } from "../names/principals.ts";
import type { Authenticator } from "./authenticator.ts";
import { isBadCredential } from "./authenticator.ts";
import { dropRefreshToken, findRefreshToken, secretHash } from "./authorization-codes.ts";
import { noStore, OAuthError } from "./oauth-error.ts";
import { revocationLifetime, revokeToken } from "./revocation.ts";
import { codeGrant, ownerActor, refreshGrant, refreshTokenId } from "./user-grants.ts";
import { answerTokenRequest, assertionGrant, jwtBearer, type TokenIssuer } from "./token-endpoint.ts";

const service = "oauth2.googleapis.com";
const maxForm = 64 * 1024;

interface OAuthRooms extends TokenIssuer {
  database: Database;
  authenticator: Authenticator;
}

/** The OAuth 2.0 endpoints of the server. [OpenID Connect Discovery; RFC 7009; Google, "OAuth 2.0"] */
export function oauthRoutes(rooms: OAuthRooms): ApiRoute[] {
  const grants = {
    [jwtBearer]: assertionGrant,
    authorization_code: codeGrant(rooms.database),
    refresh_token: refreshGrant(rooms.database),
  };
  const token = (path: string): ApiRoute =>
    apiRoute<URLSearchParams>({
      id: "google.oauth2.Token",
      service,
      method: "POST",
      path,
      readBody: readForm,
      authorization: "client",
      needs: () => "nobody",
      handle: ({ body, headers, server, call, now }) =>
        answerTokenRequest(rooms, grants, { form: withClient(body, headers), endpoint: server + path, call, now }),
    });
  return [
    token("/token"),
    token("/oauth2/v4/token"),
    token("/o/oauth2/token"),
    apiRoute<URLSearchParams>({
      id: "google.oauth2.Revoke",
      service,
      method: "POST",
      path: "/revoke",
      readBody: readForm,
      authorization: "client",
      needs: () => "nobody",
      handle: (call) => revoke(rooms, call.body.get("token") ?? call.query.get("token") ?? "", call),
    }),
    ...["GET", "POST"].map((method) =>
      apiRoute<URLSearchParams>({
        id: "google.oauth2.Tokeninfo",
        service,
        method: method as "GET" | "POST",
        path: "/tokeninfo",
        readBody: readForm,
        authorization: "client",
        needs: () => "nobody",
        handle: (call) => tokenInfo(rooms, tokenOf(call), call),
      }),
    ),
    apiRoute({
      id: "google.oauth2.Discovery",
      service,
      method: "GET",
      path: "/.well-known/openid-configuration",
      needs: () => "nobody",
      handle: () => Promise.resolve(discovery(rooms.issuer)),
    }),
    apiRoute({
      id: "google.oauth2.Certs",
      service,
      method: "GET",
      path: "/oauth2/v3/certs",
      needs: () => "nobody",
      handle: async () =>
        Response.json(
          { keys: await rooms.signingKeys.publicKeys() },
          { headers: { "cache-control": "public, max-age=300" } },
        ),
    }),
  ];
}

/** A form that names its client, if need be as the header does. [RFC 6749 section 2.3.1, client_secret_basic] */
function withClient(form: URLSearchParams, headers: Headers): URLSearchParams {
  const [, encoded] = /^basic +(\S+)$/i.exec(headers.get("authorization") ?? "") ?? [];
  if (encoded === undefined || form.has("client_id")) return form;
  const [id = "", secret = ""] = Buffer.from(encoded, "base64").toString("utf8").split(":");
  const named = new URLSearchParams(`client_id=${id}&client_secret=${secret}`);
  return new URLSearchParams([...form, ...named]);
}

/** [OpenID Connect Discovery 1.0, section 3] */
function discovery(issuer: string): object {
  return {
    issuer,
    authorization_endpoint: `${issuer}/o/oauth2/v2/auth`,
    token_endpoint: `${issuer}/token`,
    revocation_endpoint: `${issuer}/revoke`,
    jwks_uri: `${issuer}/oauth2/v3/certs`,
    response_types_supported: ["code"],
    subject_types_supported: ["public"],
    id_token_signing_alg_values_supported: ["ES256"],
    scopes_supported: ["openid", "email"],
    token_endpoint_auth_methods_supported: ["none", "client_secret_basic", "client_secret_post"],
    claims_supported: ["aud", "email", "email_verified", "exp", "iat", "iss", "sub"],
    code_challenge_methods_supported: ["S256"],
    grant_types_supported: ["authorization_code", "refresh_token", jwtBearer],
  };
}

/**
 * Whoever has the token may end it, with all that was made from it. An unknown one is none, which is what was wanted.
 * [RFC 7009 section 2.2]
 */
async function revoke(
  { accessTokens, authenticator, database }: OAuthRooms,
  token: string,
  { host, call, now }: ApiCall,
): Promise<Response> {
  const hash = secretHash(token);
  // Looked for first: strangers' guesses cost no write.
  const expiresAt = now + revocationLifetime;
  const refresh = await database.read(findRefreshToken(hash, now));
  if (refresh !== undefined && (await database.write(dropRefreshToken, { hash }))) {
    const actor = ownerActor(refresh.email, call);
    await database.write(revokeToken, { tokenId: refreshTokenId(hash), expiresAt, actor, now });
    return Response.json({}, { headers: noStore });
  }
  // A registry token has no name of its own: the last of its list is the one that it was got with.
  const access = await accessTokens.read(token, now);
  const identity = await authenticator.identify(`Bearer ${token}`, host, call.clientAddress);
  const tokenId = access?.holder.tokenIds.at(-1);
  if (isBadCredential(identity) || tokenId === undefined) {
    return new OAuthError(
      "invalid_request",
      "The token is not valid, or cannot be revoked: delete its key instead.",
    ).toResponse();
  }
  await database.write(revokeToken, { tokenId, expiresAt, actor: actorFor(identity.caller, [], call), now });
  return Response.json({}, { headers: noStore });
}

/** The token that is asked about: a parameter, or the credential of the request itself, as google-auth-library asks. */
function tokenOf({ body, query, headers }: ApiCall<URLSearchParams>): string {
  const [, bearer] = /^bearer +(\S+)$/i.exec(headers.get("authorization") ?? "") ?? [];
  return body.get("access_token") ?? query.get("access_token") ?? bearer ?? "";
}

/** What stands in an access token. [Google, "tokeninfo"] */
async function tokenInfo(rooms: OAuthRooms, token: string, { host, now, call }: ApiCall): Promise<Response> {
  const access = await rooms.accessTokens.read(token, now);
  const identity = await rooms.authenticator.identify(`Bearer ${token}`, host, call.clientAddress);
  if (access === undefined || isBadCredential(identity)) {
    return new OAuthError("invalid_request", "Invalid Value").toResponse();
  }
  const { principal, accountId } = access.holder;
  const email = emailOf(principal);
  const body = {
    azp: accountId,
    aud: accountId,
    sub: accountId,
    scope: access.scope,
    exp: String(access.expiresAt),
    expires_in: String(access.expiresAt - Math.floor(now / 1000)),
    ...(email !== undefined && { email, email_verified: "true" }),
    access_type: "online",
  };
  return Response.json(body, { headers: noStore });
}

/** A form, as OAuth 2.0 sends its parameters. */
export async function readForm(request: Request, idle: IdleLimit): Promise<URLSearchParams> {
  const tooLarge = (): BerthError => new BerthError("REQUEST_INVALID", `The form has more than ${maxForm} bytes.`);
  const text = Buffer.from(await readBody(request, maxForm, tooLarge, idle)).toString("utf8");
  const type = request.headers.get("content-type") ?? "";
  if (text !== "" && !type.startsWith("application/x-www-form-urlencoded")) {
    throw new ApiError("INVALID_ARGUMENT", "The body is a form: Content-Type is application/x-www-form-urlencoded.");
  }
  return new URLSearchParams(text);
}
