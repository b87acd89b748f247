import { findClient, isRedirectOf, type OAuthClient } from "./oauth-clients.ts";

/** What a program asks a person's browser to be signed in for. [RFC 6749 section 4.1.1; RFC 7636 section 4.3] */
export interface SignInRequest {
  client: OAuthClient;
  redirectUri: string;
  scope: string;
  state: string;
  codeChallenge: string;
}

const maxState = 2000;
const maxScope = 4000;

/** @returns the request, or why it is none: shown to the person, never sent to an address that was not checked */
export function readSignInRequest(params: URLSearchParams): SignInRequest | string {
  const client = findClient(params.get("client_id") ?? "");
  if (client === undefined) return "The program that sent you here is not known to this server (client_id).";
  const redirectUri = params.get("redirect_uri") ?? "";
  if (!isRedirectOf(client, redirectUri))
    return "The program wants its answer at an address that is not its own (redirect_uri).";
  if (params.get("response_type") !== "code")
    return 'The program asks for something else than a code (response_type is not "code").';
  const codeChallenge = params.get("code_challenge") ?? "";
  if (params.get("code_challenge_method") !== "S256" || !/^[A-Za-z0-9_-]{43}$/.test(codeChallenge)) {
    return "The program does not protect its code (PKCE with S256 is needed: code_challenge, code_challenge_method).";
  }
  const state = params.get("state") ?? "";
  const scope = params.get("scope") ?? "";
  if (state.length > maxState || scope.length > maxScope) return "The program's request is too long (state, scope).";
  return { client, redirectUri, scope, state, codeChallenge };
}

/** The request's parameters again, for a form that brings it back. */
export function requestParams({
  client,
  redirectUri,
  scope,
  state,
  codeChallenge,
}: SignInRequest): Record<string, string> {
  return {
    client_id: client.id,
    redirect_uri: redirectUri,
    response_type: "code",
    scope,
    state,
    code_challenge: codeChallenge,
    code_challenge_method: "S256",
  };
}
