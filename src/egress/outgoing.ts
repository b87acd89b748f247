import { EgressError } from "./egress-error.ts";
import { egressUrl, hostOf } from "./url.ts";

export type Method = "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";

/** A request, as it is sent to one host after the other while redirects are followed. */
export interface Outgoing {
  /** See {@link egressUrl}. */
  url: URL;
  method: Method;
  headers: Headers;
  body: string | Uint8Array | undefined;
}

/** What the connection decides, not the caller. [RFC 9110 sections 7.2, 7.6.1, 8.6, 11.7.2] */
const ownHeaders = [
  "connection",
  "content-length",
  "expect",
  "host",
  "keep-alive",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
];

/** The headers with which a caller's request begins. */
export function requestHeaders(given: HeadersInit | undefined): Headers {
  const headers = new Headers(given);
  for (const name of ownHeaders) headers.delete(name);
  // What comes compressed all the same is inflated, and counted inflated.
  headers.set("accept-encoding", "identity");
  if (!headers.has("user-agent")) headers.set("user-agent", "berth");
  return headers;
}

/**
 * The request that a reply asks for in place of the one it answers; undefined if it asks for none.
 * [RFC 9110 section 15.4, and the Fetch standard's HTTP-redirect fetch for what the RFC leaves open]
 *
 * To another origin go neither Authorization nor Cookie. A body does (307, 308): who sends a secret in one follows no
 * redirects.
 * @throws EgressError `redirects` for a way back from HTTPS; `url`
 */
export function redirected(request: Outgoing, { status, headers: reply }: Response): Outgoing | undefined {
  const location = reply.get("location");
  if (location === null || ![301, 302, 303, 307, 308].includes(status)) return undefined;
  const url = egressUrl(location, request.url);
  if (request.url.protocol === "https:" && url.protocol === "http:") {
    throw new EgressError("redirects", hostOf(request.url), "it redirects from https to http");
  }
  const headers = new Headers(request.headers);
  if (url.origin !== request.url.origin) for (const name of ["authorization", "cookie"]) headers.delete(name);
  const { method, body } = request;
  const asksForGet = status === 303 ? method !== "GET" && method !== "HEAD" : status < 303 && method === "POST";
  if (!asksForGet) return { url, method, headers, body };
  for (const name of ["encoding", "language", "location", "type"]) headers.delete(`content-${name}`);
  return { url, method: "GET", headers, body: undefined };
}
