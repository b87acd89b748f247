import { type Access, isRefusal } from "../access/access-control.ts";
import type { Permission } from "../access/permissions.ts";
import { BerthError } from "../http/berth-error.ts";
import { isBadCredential } from "../identity/authenticator.ts";
import type { Reached } from "../images/leading-tags.ts";
import { openRepository, type Repository } from "../images/repository.ts";
import { bucketName } from "../names/buckets.ts";
import type { ProjectId } from "../names/reference.ts";
import { anonymous } from "../names/principals.ts";
import { manifestResource, repositoryResource } from "../names/resources.ts";
import { getCatalog } from "./catalog.ts";
import { badCredentialMessage, unauthorized } from "./challenge.ts";
import type { Incoming, RegistryCall, RegistryRooms } from "./context.ts";
import { endpoints, parsePath, type Target } from "./paths.ts";
import { emptyReferrers } from "./referrers.ts";
import { reply } from "./replies.ts";
import { type Route, routes } from "./routes.ts";
import { requireService } from "./service-check.ts";
import { accessByTag } from "./tag-rights.ts";
import { issueToken, preparePush, readTokenForm } from "./token.ts";

/** A request that is allowed, on the repository that it is allowed for. */
export interface RepositoryCall extends RegistryCall {
  repository: Repository;
  /** Tag, digest or upload, as it stands in the path; empty where the path has none. */
  reference: string;
  /** Where the repository's addresses begin: `/v2/NAME`. */
  base: string;
  /** The project's root, which is listed like a repository. */
  isRoot: boolean;
  project: ProjectId;
  /** What was authorised first; further questions about the same repository start from it. */
  access: Access;
  /** The scope that a token for this request needs. */
  scope: string;
  asked: { scheme: string; host: string };
}

/** Answers a request below `/v2/`. @throws BerthError */
export async function answerRegistry(rooms: RegistryRooms, incoming: Incoming): Promise<Response> {
  const target = parsePath(incoming.path);
  incoming.notes.route = target.kind;
  const requested = rooms.hosts.find(incoming.host);
  const asked = { scheme: incoming.scheme, host: incoming.host };
  const { request } = incoming;
  const route = "repository" in target ? routes[target.kind]?.[request.method] : undefined;
  const methods = "repository" in target ? Object.keys(routes[target.kind] ?? {}) : endpoints[target.kind].methods;
  if (!(methods as readonly string[]).includes(request.method)) throw notAllowed(methods);

  const form =
    target.kind === "token" && request.method === "POST"
      ? await readTokenForm(request, asked, incoming.idle)
      : undefined;
  // From here on every cache holds what stood when the request was read, or later.
  await rooms.freshness.refresh();
  const authorization = form?.authorization ?? request.headers.get("authorization");
  const identity = await rooms.authenticator.identify(authorization, requested.host.name, incoming.clientAddress);
  const scope =
    route !== undefined && "repository" in target ? `repository:${target.repository.name}:${route.scope}` : "";
  const method = `${request.method} ${target.kind}`;
  const { clientAddress, requestId } = incoming;
  const userAgent = request.headers.get("user-agent") ?? "";
  const ofCall = { service: "containerregistry.googleapis.com", method, clientAddress, userAgent, requestId };
  if (isBadCredential(identity)) {
    // A token that has ended is every client's daily business.
    if (identity.bad !== "token") rooms.access.credentialRefused(ofCall, identity.bad);
    if (identity.bad === "throttled") throw throttled(identity.retryAfter);
    // A token that no longer counts is worth a new one; a wrong password is not.
    const error = identity.bad === "token" ? "invalid_token" : undefined;
    throw unauthorized(asked, scope, badCredentialMessage[identity.bad], error);
  }
  incoming.notes.principal = identity.caller.principal;
  const call: RegistryCall = {
    ...incoming,
    rooms,
    requested,
    identity,
    call: ofCall,
  };
  if (route !== undefined && "repository" in target) return answerRepository(call, target, route, scope, asked);
  if (target.kind === "token") return issueToken(call, form?.scopes ?? incoming.query.getAll("scope"));
  if (target.kind === "catalog") return getCatalog(call);
  if (identity.caller.principal === anonymous && authorization === null) throw unauthorized(asked, "");
  return reply(200);
}

type RepositoryTarget = Extract<Target, { repository: unknown }>;

async function answerRepository(
  call: RegistryCall,
  target: RepositoryTarget,
  route: Route,
  scope: string,
  asked: { scheme: string; host: string },
): Promise<Response> {
  const { rooms, requested, identity } = call;
  const { name, project, image } = target.repository;
  const reference = "reference" in target ? target.reference : "id" in target ? target.id : "";
  call.notes.repository = name;
  const isRoot = image === "";
  if (isRoot && target.kind !== "tags") {
    throw new BerthError("NAME_INVALID", `"${name}" is a project; an image is named ${name}/IMAGE.`);
  }
  if (route.pushes && requested.host.readOnly)
    throw new BerthError("DENIED", `${requested.host.name} takes no pushes.`);
  const ofRepository = repositoryResource(bucketName(requested.host.name, project), name);
  const resource = target.kind === "manifests" ? manifestResource(ofRepository, reference) : ofRepository;
  let accesses: Access[] = route.permissions.map((permission: Permission) => ({ permission, resource, project }));
  const reached = reachedBy(target, call.request.method);
  if (reached !== undefined && !(await rooms.access.isAllowed(identity.caller, accesses[0] as Access))) {
    const byTag = await accessByTag(call, target.repository, accesses[0] as Access, ofRepository, reached);
    if (byTag !== undefined) accesses = [byTag];
  }
  const grant = await rooms.access.authorize(identity.caller, accesses, call.call);
  if (isRefusal(grant)) {
    if (grant.refused === "anonymous") throw unauthorized(asked, scope);
    if (grant.refused === "bounds") throw unauthorized(asked, scope, undefined, "insufficient_scope");
    throw new BerthError("DENIED", `Permission denied for "${reference || name}" from request "${call.path}".`);
  }
  await requireService(call, project);
  route.check?.(reference);
  let registry = await rooms.registries.find(requested.host.name, project);
  if (registry === undefined && route.pushes) {
    await preparePush(call, project, ofRepository);
    registry = await rooms.registries.find(requested.host.name, project);
  }
  if (registry === undefined) {
    if (target.kind === "referrers") return emptyReferrers();
    throw new BerthError(route.absent, undefined, { detail: { name } });
  }
  const repository = openRepository(grant, rooms, registry, name);
  const base = `/v2/${name}`;
  const access = accesses[0] as Access;
  return route.handler({ ...call, repository, reference, base, isRoot, project, access, scope, asked });
}

/** What a request reads that tags lead to. */
function reachedBy(target: RepositoryTarget, method: string): Reached | undefined {
  if (method !== "GET" && method !== "HEAD") return undefined;
  if (target.kind === "blobs") return { kind: "blob", digest: target.reference };
  const isDigest = (target.kind === "manifests" || target.kind === "referrers") && target.reference.includes(":");
  return isDigest ? { kind: "manifest", digest: target.reference } : undefined;
}

function throttled(seconds: number): BerthError {
  const headers = { "retry-after": String(seconds) };
  return new BerthError("TOOMANYREQUESTS", `Too many failed sign-ins: try again in ${seconds} s.`, { headers });
}

function notAllowed(methods: readonly string[]): BerthError {
  return new BerthError("UNSUPPORTED", undefined, { headers: { allow: methods.join(", ") } });
}
