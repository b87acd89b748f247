import { type ApiCall, type ApiRoute } from "../access/api-route.ts";
import { type AccessControl, type Grant, isRefusal, type Refusal } from "../access/access-control.ts";
import { ApiError } from "../http/api-error.ts";
import { readBody } from "../http/body.ts";
import { type RoutePattern, routePattern } from "../http/route-pattern.ts";
import { JsonError, parseStrictJson } from "../http/strict-json.ts";
import { BerthError } from "../http/berth-error.ts";
import { type Authenticator, isBadCredential } from "../identity/authenticator.ts";
import type { Freshness } from "../metadata/freshness.ts";
import { anonymous } from "../names/principals.ts";
import type { Incoming } from "../registry/context.ts";
import { hostNameOf } from "../registry/hosts.ts";

/** The most bytes of a request's JSON: a policy of ten thousand members fits. */
const maxBody = 8 * 2 ** 20;
/** The same for somebody unknown, who has to be read before it is known what the call needs. */
const maxAnonymousBody = 64 * 2 ** 10;
const maxDepth = 64;
/** Characters of a name in a path: the longest is that of an object. */
const maxName = 1024;

interface ApiDependencies {
  freshness: Freshness;
  authenticator: Authenticator;
  access: AccessControl;
  now: () => number;
}

interface Found {
  route: ApiRoute;
  path: Record<string, string>;
}

interface Compiled {
  route: ApiRoute;
  pattern: RoutePattern;
}

/** Every API beside the registry's: finds the route, the caller and its right, and answers. */
export class Api {
  readonly #dependencies: ApiDependencies;
  readonly #routes: readonly Compiled[];

  constructor(routes: readonly ApiRoute[], dependencies: ApiDependencies) {
    this.#dependencies = dependencies;
    // A path with a verb is not its resource's.
    this.#routes = [...routes]
      .sort((a, b) => Number(hasVerb(b.path)) - Number(hasVerb(a.path)))
      .map((route) => ({ route, pattern: routePattern(route.path) }));
  }

  /** Every route there is, for whoever goes through them all. */
  routes(): ApiRoute[] {
    return this.#routes.map(({ route }) => route);
  }

  /** `undefined` for a path that no API has. */
  answer(incoming: Incoming): Promise<Response> | undefined {
    const { method } = incoming.request;
    const found = this.#find(method === "HEAD" ? "GET" : method, incoming.path);
    if (found === undefined) return undefined;
    const long = Object.values(found.path).find((value) => value.length > maxName);
    if (long !== undefined)
      throw new ApiError("INVALID_ARGUMENT", `A name in the path has more than ${maxName} characters.`);
    return this.#answer(incoming, found);
  }

  async #answer(incoming: Incoming, { route, path }: Found): Promise<Response> {
    const { request, notes } = incoming;
    notes.route = route.service;
    const { freshness, authenticator, access, now } = this.#dependencies;
    await freshness.refresh();
    const identity = await authenticator.identify(
      route.authorization === "client" ? null : request.headers.get("authorization"),
      hostNameOf(incoming.host),
      incoming.clientAddress,
    );
    if (isBadCredential(identity) && identity.bad === "throttled") {
      const headers = { "retry-after": String(identity.retryAfter) };
      throw new ApiError("RESOURCE_EXHAUSTED", "Too many failed sign-ins: try again later.", headers);
    }
    const { clientAddress, requestId } = incoming;
    const userAgent = request.headers.get("user-agent") ?? "";
    const ofCall = { service: route.service, method: route.id, clientAddress, userAgent, requestId };
    if (isBadCredential(identity)) {
      if (identity.bad !== "token") access.credentialRefused(ofCall, identity.bad);
      throw unauthenticated("The credential is not valid, or it is no longer good.");
    }
    const { principal } = identity.caller;
    notes.principal = principal;
    const body = await readRouteBody(route, incoming, principal === anonymous ? maxAnonymousBody : maxBody);
    const call: ApiCall = {
      path,
      query: incoming.query,
      body,
      caller: identity.caller,
      call: ofCall,
      headers: request.headers,
      // Nobody reaches these names but by TLS, which ends before a server without it.
      server: `${googleName.test(incoming.host) ? "https" : incoming.scheme}://${incoming.host}`,
      host: hostNameOf(incoming.host),
      now: now(),
    };
    const needs = await route.needs(call);
    if (needs === "somebody" && principal === anonymous) throw unauthenticated(missingCredential);
    let grant: Grant | undefined;
    if (typeof needs !== "string") {
      const decision = await access.authorize(identity.caller, needs, call.call);
      if (isRefusal(decision)) throw denied(decision, incoming.path);
      grant = decision;
    }
    const answer = await route.handle(call, grant);
    return answer instanceof Response ? answer : Response.json(answer);
  }

  /** @throws ApiError UNSUPPORTED_METHOD */
  #find(method: string, path: string): Found | undefined {
    const methods: string[] = [];
    for (const { route, pattern } of this.#routes) {
      const variables = pattern.match(path);
      if (variables === undefined) continue;
      if (route.method === method) return { route, path: variables };
      methods.push(route.method);
    }
    if (methods.length === 0) return undefined;
    throw new ApiError("UNSUPPORTED_METHOD", `This address takes ${methods.join(", ")}.`, {
      allow: methods.join(", "),
    });
  }
}

const googleName = /^(?:[a-z0-9-]+\.)?(?:googleapis\.com|gcr\.io|google\.com)(?::443)?$/;

const missingCredential = "Request is missing required authentication credential.";

function unauthenticated(message: string): ApiError {
  return new ApiError("UNAUTHENTICATED", message, { "www-authenticate": 'Bearer realm="berth"' });
}

/** Names what was asked for as the caller wrote it: what it was found to be is for those who may see it. */
function denied({ refused, access }: Refusal, path: string): ApiError {
  if (refused === "anonymous") return unauthenticated(missingCredential);
  if (refused === "bounds") {
    return new ApiError(
      "PERMISSION_DENIED",
      `Request had insufficient authentication scopes for permission '${access.permission}'.`,
    );
  }
  const asked = path.replace(/:\w+$/, "").slice(0, 500);
  return new ApiError(
    "PERMISSION_DENIED",
    `Permission '${access.permission}' denied on resource '${asked}' (or it may not exist).`,
  );
}

async function readRouteBody(route: ApiRoute, { request, idle }: Incoming, limit: number): Promise<unknown> {
  if (route.readBody !== undefined) return route.readBody(request, idle);
  if (route.body === undefined) return undefined;
  const tooLarge = (): BerthError => new BerthError("REQUEST_INVALID", `The body has more than ${limit} bytes.`);
  const bytes = await readBody(request, limit, tooLarge, idle);
  let value: unknown = {};
  if (bytes.byteLength > 0) {
    try {
      value = parseStrictJson(bytes, maxDepth);
    } catch (error) {
      if (!(error instanceof JsonError)) throw error;
      throw new ApiError("INVALID_ARGUMENT", `Invalid JSON payload received: ${error.message}.`);
    }
  }
  const parsed = route.body.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const place = issue?.path.length ? `Invalid value at '${issue.path.join(".")}': ` : "";
  throw new ApiError("INVALID_ARGUMENT", `${place}${issue?.message ?? "the body has another form"}.`);
}

function hasVerb(path: string): boolean {
  return /\}:\w+$|\/\w+:\w+$/.test(path);
}
