import { z } from "zod";
import { type ApiCall, type ApiRoute, apiRoute } from "../../access/api-route.ts";
import { ApiError } from "../../http/api-error.ts";
import { BerthError } from "../../http/berth-error.ts";
import { type IdleLimit, readBody } from "../../http/body.ts";
import { parseStrictJson } from "../../http/strict-json.ts";
import { emailOf } from "../../names/principals.ts";
import { type Authenticator, isBadCredential } from "../authenticator.ts";
import { noStore, OAuthError } from "../oauth-error.ts";
import { readForm } from "../oauth-routes.ts";
import { type ExchangeRequest, type ExchangeRooms, exchangeToken } from "./token-exchange.ts";

const service = "sts.googleapis.com";

interface StsRooms extends ExchangeRooms {
  authenticator: Authenticator;
}

/** Tokens for those whom others vouch for. [Security Token Service API v1] */
export function stsRoutes(rooms: StsRooms): ApiRoute[] {
  return [
    apiRoute<ExchangeRequest>({
      id: "google.identity.sts.v1.SecurityTokenService.ExchangeToken",
      service,
      method: "POST",
      path: "/v1/token",
      readBody: readParameters,
      authorization: "client",
      needs: () => "nobody",
      handle: ({ body, now }) => answer(() => exchangeToken(rooms, body, now)),
    }),
    apiRoute<ExchangeRequest>({
      id: "google.identity.sts.v1.SecurityTokenService.IntrospectToken",
      service,
      method: "POST",
      path: "/v1/introspect",
      readBody: readParameters,
      authorization: "client",
      needs: () => "nobody",
      handle: (call) => answer(() => introspect(rooms, call)),
    }),
  ];
}

async function answer(make: () => Promise<object>): Promise<Response> {
  try {
    return Response.json(await make(), { headers: noStore });
  } catch (error) {
    if (error instanceof OAuthError) return error.toResponse();
    throw error;
  }
}

/** What a token is; whoever has it may ask, and learns nothing of one that does not count. [RFC 7662] */
async function introspect(rooms: StsRooms, { body, host, call, now }: ApiCall<ExchangeRequest>): Promise<object> {
  const token = body.token ?? "";
  const access = await rooms.accessTokens.read(token, now);
  const identity = await rooms.authenticator.identify(`Bearer ${token}`, host, call.clientAddress);
  if (access === undefined || isBadCredential(identity)) return { active: false };
  const { principal } = identity.caller;
  return {
    active: true,
    scope: access.scope,
    username: emailOf(principal) ?? principal,
    sub: principal,
    iss: "https://sts.googleapis.com/",
    iat: Math.floor(access.issuedAt),
    exp: access.expiresAt,
  };
}

const jsonParameters = z.record(z.string(), z.string());
const maxJson = 64 * 1024;

/** A form as client libraries send it, or the JSON of the API's reference, whose names are in camel case. */
async function readParameters(request: Request, idle: IdleLimit): Promise<ExchangeRequest> {
  if (!(request.headers.get("content-type") ?? "").startsWith("application/json")) {
    return Object.fromEntries(await readForm(request, idle));
  }
  const tooLarge = (): BerthError => new BerthError("REQUEST_INVALID", `The body has more than ${maxJson} bytes.`);
  const bytes = await readBody(request, maxJson, tooLarge, idle);
  const parameters = Object.entries(readJson(bytes));
  return Object.fromEntries(
    parameters.map(([name, value]) => [name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), value]),
  );
}

/** @throws ApiError INVALID_ARGUMENT */
function readJson(bytes: Uint8Array): Record<string, string> {
  try {
    return jsonParameters.parse(parseStrictJson(bytes, 2));
  } catch {
    throw new ApiError("INVALID_ARGUMENT", "The body is neither a form nor an object of strings in JSON.");
  }
}
