import { randomBytes, timingSafeEqual } from "node:crypto";
import { z } from "zod";
import type { AccessControl } from "../access/access-control.ts";
import { type ApiCall, type ApiRoute, apiRoute } from "../access/api-route.ts";
import type { Call } from "../access/caller.ts";
import type { Database } from "../metadata/database.ts";
import { codeLifetime, saveCode, secretHash } from "./authorization-codes.ts";
import { isShown } from "./oauth-clients.ts";
import { readForm } from "./oauth-routes.ts";
import type { OwnTokens, TokenKind } from "./own-tokens.ts";
import { verifyPassword } from "./passwords.ts";
import { codeShownPage, failurePage, signInPage } from "./sign-in-pages.ts";
import { readSignInRequest, requestParams, type SignInRequest } from "./sign-in-request.ts";
import type { SignInThrottle } from "./sign-in-throttle.ts";
import { ownerActor } from "./user-grants.ts";
import { findUser } from "./users.ts";

const service = "oauth2.googleapis.com";
const paths = ["/o/oauth2/v2/auth", "/o/oauth2/auth"];

/** How long a form may lie open, in seconds. */
const formSeconds = 30 * 60;

/** Binds a form to the browser that it was given to. [OWASP, "Cross-Site Request Forgery Prevention", signed double submit] */
const formKind: TokenKind<{ nonce: string }> = {
  type: "form+jwt",
  issuer: "berth-sign-in",
  claims: z.object({ nonce: z.string() }),
};

export interface SignInRooms {
  database: Database;
  access: AccessControl;
  ownTokens: OwnTokens;
  throttle: SignInThrottle;
  /** The providers that people may sign in through, by name. */
  providerNames: readonly string[];
}

/** The pages on which people sign in for a program, such as `gcloud auth login`. [RFC 6749 section 3.1] */
export function signInRoutes(rooms: SignInRooms): ApiRoute[] {
  return paths.flatMap((path) => [
    apiRoute({
      id: "google.oauth2.Authorize",
      service,
      method: "GET",
      path,
      needs: () => "nobody",
      async handle(call) {
        const request = readSignInRequest(call.query);
        return typeof request === "string" ? failurePage(request) : showForm(rooms, call, request);
      },
    }),
    apiRoute<URLSearchParams>({
      id: "google.oauth2.Authorize",
      service,
      method: "POST",
      path,
      readBody: readForm,
      needs: () => "nobody",
      async handle(call) {
        const request = readSignInRequest(call.body);
        return typeof request === "string" ? failurePage(request) : signIn(rooms, call, call.body, request);
      },
    }),
  ]);
}

async function showForm(
  { ownTokens, providerNames }: SignInRooms,
  { server, now }: ApiCall,
  request: SignInRequest,
  again?: { email: string; error: string },
): Promise<Response> {
  const nonce = randomBytes(24).toString("base64url");
  const iat = Math.floor(now / 1000);
  const form = await ownTokens.sign(formKind, { nonce: secretHash(nonce), iat, exp: iat + formSeconds });
  const { origin } = new URL(request.redirectUri);
  return signInPage({
    clientName: request.client.name,
    host: new URL(server).host,
    email: again?.email ?? "",
    error: again?.error,
    hidden: { ...requestParams(request), form },
    providers: providerNames.map((name) => ({
      name,
      link: `/signin/${name}?${new URLSearchParams({ ...requestParams(request), form }).toString()}`,
    })),
    // The browser follows the answer there, which it counts as the form's doing.
    formTarget: isShown(request.redirectUri) ? "" : origin,
    cookie: `${cookieName(server)}=${nonce}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${formSeconds}${isSecure(server) ? "; Secure" : ""}`,
  });
}

async function signIn(
  rooms: SignInRooms,
  call: ApiCall,
  form: URLSearchParams,
  request: SignInRequest,
): Promise<Response> {
  if (!(await isOwnForm(rooms, call, form))) {
    return failurePage(
      "The form is too old, or was not opened in this browser. Go back to the program and begin again.",
    );
  }
  const email = (form.get("email") ?? "").trim().toLowerCase().slice(0, 320);
  const { clientAddress } = call.call;
  const again = (error: string): Promise<Response> => showForm(rooms, call, request, { email, error });
  const user = await rooms.database.read(findUser(email));
  const isRight = await rooms.throttle.verify(email, clientAddress, async () => {
    const fits = await verifyPassword(form.get("password") ?? "", user?.password_hash ?? undefined);
    return fits && user?.disabled === 0;
  });
  if (typeof isRight !== "boolean") return again(`Too many attempts: try again in ${isRight.retryAfter} s.`);
  if (!isRight || user === undefined) {
    rooms.access.credentialRefused(call.call, "password");
    return again("The address or the password is not right.");
  }
  return grantCode(rooms.database, { userId: user.unique_id, email: user.email, call: call.call }, request, call.now);
}

/** Sends the person back to the program with a code, or shows the code. */
export async function grantCode(
  database: Database,
  { userId, email, call }: { userId: string; email: string; call: Call },
  request: SignInRequest,
  now: number,
): Promise<Response> {
  const code = `4/${randomBytes(32).toString("base64url")}`;
  const { client, redirectUri, scope, codeChallenge, state } = request;
  const expiresAt = now + codeLifetime;
  await database.write(saveCode, {
    hash: secretHash(code),
    userId,
    clientId: client.id,
    redirectUri,
    codeChallenge,
    scope,
    expiresAt,
    actor: ownerActor(email, call),
    now,
  });
  if (isShown(redirectUri)) return codeShownPage(code);
  const target = new URL(redirectUri);
  target.searchParams.set("code", code);
  if (state !== "") target.searchParams.set("state", state);
  target.searchParams.set("scope", scope);
  return new Response(null, {
    status: 303,
    headers: { location: target.href, "cache-control": "no-store", "referrer-policy": "no-referrer" },
  });
}

/**
 * The form was signed by this server for the browser that has the cookie, and is sent from its own page: somebody has
 * looked at it and said yes.
 */
export async function isOwnForm(
  { ownTokens }: Pick<SignInRooms, "ownTokens">,
  { headers, server, now }: ApiCall,
  form: URLSearchParams,
): Promise<boolean> {
  const origin = headers.get("origin");
  if (origin !== null && origin !== server && origin !== "null") return false;
  const site = headers.get("sec-fetch-site");
  if (site !== null && site !== "same-origin" && site !== "none") return false;
  const signed = await ownTokens.read(formKind, form.get("form") ?? "", now);
  const nonce = cookieOf(headers.get("cookie") ?? "", cookieName(server));
  if (signed === undefined || nonce === undefined) return false;
  const [made, asked] = [Buffer.from(secretHash(nonce)), Buffer.from(signed.nonce)];
  return made.byteLength === asked.byteLength && timingSafeEqual(made, asked);
}

export function isSecure(server: string): boolean {
  return server.startsWith("https:");
}

/** A name that only this host over TLS can set, where there is TLS. [RFC 6265bis, cookie name prefixes] */
function cookieName(server: string): string {
  return isSecure(server) ? "__Host-berth-form" : "berth-form";
}

export function cookieOf(header: string, name: string): string | undefined {
  return header
    .split(";")
    .map((each) => each.trim())
    .find((each) => each.startsWith(`${name}=`))
    ?.slice(name.length + 1);
}
