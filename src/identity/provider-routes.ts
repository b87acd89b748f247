import { z } from "zod";
import { type ApiCall, type ApiRoute, apiRoute } from "../access/api-route.ts";
import { newEtag } from "../access/iam/etag.ts";
import { ApiError } from "../http/api-error.ts";
import { randomDigits } from "../names/identifiers.ts";
import { parseMember } from "../names/members.ts";
import { type ProviderClient, ProviderError } from "./oidc-providers.ts";
import type { TokenKind } from "./own-tokens.ts";
import { signInThroughProvider } from "./provider-sign-in.ts";
import { cookieOf, grantCode, isOwnForm, isSecure, type SignInRooms } from "./sign-in-routes.ts";
import { failurePage } from "./sign-in-pages.ts";
import { readSignInRequest, requestParams } from "./sign-in-request.ts";

const service = "oauth2.googleapis.com";

/** How long a person may take at the provider, in seconds. */
const flowSeconds = 15 * 60;

/** What the browser carries to the provider and back: bound to it by a cookie that no other site can read or set. */
const flowKind: TokenKind<{
  provider: string;
  state: string;
  nonce: string;
  verifier: string;
  request: Record<string, string>;
}> = {
  type: "flow+jwt",
  issuer: "berth-sign-in",
  claims: z.object({
    provider: z.string(),
    state: z.string(),
    nonce: z.string(),
    verifier: z.string(),
    request: z.record(z.string(), z.string()),
  }),
};

interface ProviderRooms extends SignInRooms {
  providers: readonly ProviderClient[];
  /** The server's public address, where the provider sends people back to. */
  issuer: string;
}

/** Signing in through an OpenID Connect provider: there and back. */
export function providerRoutes(rooms: ProviderRooms): ApiRoute[] {
  return [
    apiRoute({
      id: "berth.signin.Begin",
      service,
      method: "GET",
      path: "/signin/{provider}",
      needs: () => "nobody",
      handle: (call) => explained(() => begin(rooms, call)),
    }),
    apiRoute({
      id: "berth.signin.Callback",
      service,
      method: "GET",
      path: "/signin/{provider}/callback",
      needs: () => "nobody",
      handle: (call) => explained(() => finish(rooms, call)),
    }),
  ];
}

/** From the sign-in page alone: a link elsewhere must not sign somebody in for a program that they never heard of. */
async function begin(rooms: ProviderRooms, call: ApiCall): Promise<Response> {
  const { path, query, server, now } = call;
  const client = requireProvider(rooms, path.provider as string);
  const request = readSignInRequest(query);
  if (typeof request === "string") return failurePage(request);
  if (!(await isOwnForm(rooms, call, query))) {
    return failurePage(
      "The page is too old, or was not opened in this browser. Go back to the program and begin again.",
    );
  }
  const { url, pending } = await client.begin(callbackOf(rooms, client));
  const iat = Math.floor(now / 1000);
  const claims = {
    provider: client.provider.name,
    ...pending,
    request: requestParams(request),
    iat,
    exp: iat + flowSeconds,
  };
  const flow = await rooms.ownTokens.sign(flowKind, claims);
  // Lax: the provider's redirect is another site's, and the cookie has to come back with it.
  const cookie = `${cookieName(server)}=${flow}; Path=/; HttpOnly; SameSite=Lax; Max-Age=${flowSeconds}${isSecure(server) ? "; Secure" : ""}`;
  return redirect(url.href, cookie);
}

async function finish(rooms: ProviderRooms, { path, query, headers, server, call, now }: ApiCall): Promise<Response> {
  const client = requireProvider(rooms, path.provider as string);
  const flow = await rooms.ownTokens.read(
    flowKind,
    cookieOf(headers.get("cookie") ?? "", cookieName(server)) ?? "",
    now,
  );
  const request = flow === undefined ? undefined : readSignInRequest(new URLSearchParams(flow.request));
  if (flow?.provider !== client.provider.name || request === undefined || typeof request === "string") {
    return failurePage(
      "The sign-in took too long, or was begun in another browser. Go back to the program and begin again.",
    );
  }
  const callback = new URL(callbackOf(rooms, client));
  callback.search = query.toString();
  const claims = await client.finish(callback, flow);
  const groups = claims.groups.filter((email) => parseMember(`group:${email}`) !== undefined);
  const userId = await rooms.database.write(signInThroughProvider, {
    newUniqueId: randomDigits(21),
    issuer: client.provider.issuer,
    subject: claims.subject,
    email: claims.email,
    displayName: claims.displayName,
    groups: [...new Set(groups)].map((email) => ({ email, newUniqueId: randomDigits(21) })),
    newEtag: newEtag(),
    call,
    now,
  });
  const reply = await grantCode(rooms.database, { userId, email: claims.email, call }, request, now);
  reply.headers.append(
    "set-cookie",
    `${cookieName(server)}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0${isSecure(server) ? "; Secure" : ""}`,
  );
  return reply;
}

/** A person reads a page, whatever went wrong. */
async function explained(answer: () => Promise<Response>): Promise<Response> {
  try {
    return await answer();
  } catch (error) {
    if (error instanceof ProviderError || error instanceof ApiError) return failurePage(error.message);
    throw error;
  }
}

function requireProvider({ providers }: ProviderRooms, name: string): ProviderClient {
  const client = providers.find(({ provider }) => provider.name === name);
  if (client === undefined) throw new ProviderError("There is no such way to sign in.");
  return client;
}

function callbackOf({ issuer }: ProviderRooms, { provider }: ProviderClient): string {
  return `${issuer}/signin/${provider.name}/callback`;
}

function redirect(location: string, cookie: string): Response {
  const headers = { location, "set-cookie": cookie, "cache-control": "no-store", "referrer-policy": "no-referrer" };
  return new Response(null, { status: 303, headers });
}

function cookieName(server: string): string {
  return isSecure(server) ? "__Host-berth-flow" : "berth-flow";
}
