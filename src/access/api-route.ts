import type { z } from "zod";
import type { IdleLimit } from "../http/body.ts";
import type { Access, Grant } from "./access-control.ts";
import type { Call, Caller } from "./caller.ts";

/** A call of one of Google's APIs, or of Berth's own. */
export interface ApiCall<Body = unknown> {
  /** The variables of the route's path, and the query. */
  path: Readonly<Record<string, string>>;
  query: URLSearchParams;
  /** What the route's `body` made of it. */
  body: Body;
  caller: Caller;
  call: Call;
  headers: Headers;
  /** `https://HOST[:PORT]`, as the client asked for it. */
  server: string;
  /** The same without scheme and port. */
  host: string;
  now: number;
}

/** What a call takes: rights on resources, or none. */
export type Need =
  | readonly Access[]
  /** Everybody, signed in or not; the handler answers for what it tells. */
  | "nobody"
  /** Somebody known; the handler tells what they may see. */
  | "somebody";

/** One method of an API. */
export interface ApiRoute<Body = unknown> {
  /** As the audit log names it: `google.iam.admin.v1.CreateServiceAccount`. */
  id: string;
  /** `iam.googleapis.com` */
  service: string;
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** See `routePattern`. */
  path: string;
  body?: z.ZodType<Body>;
  /** Whom the Authorization header names: a caller unless told, or the OAuth client that a caller uses. */
  authorization?: "client";
  /** Where the body has another form than JSON, or none is read: how it comes to `body`. */
  readBody?: (request: Request, idle: IdleLimit) => Promise<Body>;
  /** Before it is known whether anything is there: without the right, a missing thing and a hidden one are alike. */
  needs(call: ApiCall<NoInfer<Body>>): Need | Promise<Need>;
  /** A `Response`, or what goes out as JSON. `grant` is there where `needs` named rights. */
  handle(call: ApiCall<NoInfer<Body>>, grant: Grant | undefined): Promise<unknown>;
}

/** For tables of routes with different bodies: types one route by its own body. */
export function apiRoute<Body>(route: ApiRoute<Body>): ApiRoute {
  return route as ApiRoute;
}

/** The grant of a route whose needs are rights. */
export function requireGrant(grant: Grant | undefined): Grant {
  if (grant === undefined) throw new Error("the route asks for no right, and yet needs a grant");
  return grant;
}
