import type { Server } from "bun";
import { ApiError, apiStatusOf } from "../http/api-error.ts";
import { BerthError, toBerthError } from "../http/berth-error.ts";
import type { IdleLimit } from "../http/body.ts";
import type { Incoming, RequestNotes } from "../registry/context.ts";
import { isHost } from "../registry/hosts.ts";
import { errorReply } from "../registry/replies.ts";
import { answerRegistry } from "../registry/router.ts";
import type { Forwarding } from "./forwarded.ts";
import { errorFields, type Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import type { Probes } from "./probes.ts";
import type { Rooms } from "./rooms.ts";

interface RequestDependencies {
  rooms: Rooms;
  probes: Probes;
  forwarding: Forwarding;
  metrics: Metrics;
  log: Log;
  scheme: "http" | "https";
  idleTimeout: number;
}

/** How long the client of a refused upload may go on sending, so that it gets to read the refusal. */
const refusedUploadSeconds = 3;
/** Not in any standard: what nginx logs where nobody is left to read the reply. */
const clientClosedRequest = 499;
/** How much of a refused body is read away before the reply. */
const drainBytes = 64 * 2 ** 20;

/** What the server does with every request: context, answer, errors, log, metrics. */
export function requestHandler(dependencies: RequestDependencies) {
  const { rooms, probes, metrics, log } = dependencies;
  return async (request: Request, server: Server<undefined>): Promise<Response> => {
    const begun = performance.now();
    const incoming = incomingOf(request, server, dependencies);
    const { notes, path } = incoming;
    let response: Response;
    incoming.idle.working();
    try {
      if (!isHost(incoming.host)) throw new BerthError("REQUEST_INVALID", "The Host header is not a host.");
      const probe = probes.answer(path, request.method);
      const wait = probe === undefined ? rooms.quota.take(incoming.clientAddress) : 0;
      if (wait > 0) throw quotaExceeded(wait);
      response = await (probe ?? answer(rooms, incoming));
      if (probe !== undefined) notes.route = "probe";
    } catch (error) {
      response = refuse(error, incoming, log);
      // A client that is still sending would not see the reply. Over TLS it may speak HTTP/2, where Bun resets the
      // stream behind an early reply and some clients (curl) then drop the reply: there the body is read away first.
      if (request.body !== null) {
        if (dependencies.scheme === "https") await drain(request);
        server.timeout(request, refusedUploadSeconds);
      }
    }
    if (request.body === null || response.ok) server.timeout(request, dependencies.idleTimeout);
    response.headers.set("x-request-id", incoming.requestId);
    const seconds = (performance.now() - begun) / 1000;
    metrics.answered(notes.route, request.method, response.status, seconds);
    metrics.received(notes.received);
    log.request({
      requestId: incoming.requestId,
      method: request.method,
      path: path.slice(0, 600),
      status: response.status,
      principal: notes.principal,
      repository: notes.repository,
      received: notes.received,
      bytes: notes.sent,
      client: incoming.clientAddress,
      seconds,
    });
    return response;
  };
}

/** In Container Registry's words. */
function quotaExceeded(seconds: number): BerthError {
  return new BerthError("TOOMANYREQUESTS", "Quota Exceeded.", { headers: { "retry-after": String(seconds) } });
}

/** The registry's addresses begin with `/v2`; it also says of those that are nobody's that there is nothing. */
function answer(rooms: Rooms, incoming: Incoming): Promise<Response> {
  return (
    (isRegistryPath(incoming.path) ? undefined : rooms.api.answer(incoming)) ?? answerRegistry(rooms.registry, incoming)
  );
}

/** What was meant for the registry, if misspelled, is answered as the registry answers. */
const looksLikeRegistry = /^\/*v2(?:\/(?!entries:)|$)/i;

/** Cloud Logging has the one address that looks like the registry's. */
function isRegistryPath(path: string): boolean {
  return (path === "/v2" || path.startsWith("/v2/")) && path !== "/v2/entries:list";
}

function incomingOf(
  request: Request,
  server: Server<undefined>,
  { forwarding, scheme, idleTimeout }: RequestDependencies,
): Incoming {
  const { path, query } = splitUrl(request.url);
  const address = server.requestIP(request)?.address ?? "";
  const direct = {
    scheme,
    host: request.headers.get("host") ?? `${server.hostname}:${server.port}`,
    clientAddress: address,
  };
  const origin = forwarding.isConfigured ? forwarding.originOf(request.headers, direct) : direct;
  const notes: RequestNotes = { route: "other", principal: "", repository: "", received: 0, sent: 0 };
  const idle = idleLimit(request, server, idleTimeout);
  return { request, path, query, ...origin, requestId: crypto.randomUUID(), idle, notes };
}

/** Bun counts a request's time, not its silence: the limit is set anew as bytes arrive, at most each second. */
function idleLimit(request: Request, server: Server<undefined>, seconds: number): IdleLimit {
  let armed = Number.NEGATIVE_INFINITY;
  return {
    waiting() {
      const now = performance.now();
      if (now - armed < 1000) return;
      armed = now;
      server.timeout(request, seconds);
    },
    working() {
      armed = Number.NEGATIVE_INFINITY;
      server.timeout(request, 0);
    },
  };
}

/** Reads a body away, up to a number of bytes and seconds. */
async function drain(request: Request): Promise<void> {
  if (request.body === null || request.bodyUsed || request.body.locked) return;
  const reader = request.body.getReader();
  const late = Bun.sleep(refusedUploadSeconds * 1000).then(() => ({ done: true, value: undefined }));
  try {
    for (let size = 0; size < drainBytes;) {
      const { done, value } = await Promise.race([reader.read(), late]);
      if (done || value === undefined) return;
      size += value.byteLength;
    }
  } catch {
    // The client is gone: there is nobody to reply to.
  }
}

/** Path and query as they were sent. Bun has resolved `.` and `..` by now; percent signs it leaves. */
function splitUrl(url: string): { path: string; query: URLSearchParams } {
  // HTTP/1.0 needs no Host; then there is only a path.
  const start = url.startsWith("/") ? 0 : url.indexOf("/", url.indexOf("//") + 2);
  const mark = url.indexOf("?", start);
  if (mark < 0) return { path: url.slice(start), query: noQuery };
  return { path: url.slice(start, mark), query: new URLSearchParams(url.slice(mark + 1)) };
}

const noQuery = new URLSearchParams();

function refuse(error: unknown, { requestId, path, request }: Incoming, log: Log): Response {
  if (error instanceof ApiError) return error.toResponse();
  const refusal = toBerthError(error);
  if (request.signal.aborted && !(error instanceof BerthError)) {
    log.debug({ requestId, path, ...errorFields(error) }, "client went away");
    return new Response(null, { status: clientClosedRequest });
  }
  if (refusal.status >= 500) {
    log.error({ requestId, path, method: request.method, ...errorFields(error) }, "request failed");
  }
  return looksLikeRegistry.test(path) ? errorReply(refusal) : asApiError(refusal).toResponse();
}

/** Outside the registry everybody reads Google's form. */
function asApiError({ status, message, headers }: BerthError): ApiError {
  return new ApiError(apiStatusOf(status), message, headers);
}
