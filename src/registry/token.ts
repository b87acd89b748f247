import { type Access, isRefusal } from "../access/access-control.ts";
import { newEtag } from "../access/iam/etag.ts";
import { withinBounds } from "../access/caller.ts";
import type { Permission } from "../access/permissions.ts";
import { BerthError } from "../http/berth-error.ts";
import { type IdleLimit, readBody } from "../http/body.ts";
import type { TokenAccess } from "../identity/registry-tokens.ts";
import { bucketName } from "../names/buckets.ts";
import { anonymous } from "../names/principals.ts";
import type { ProjectId } from "../names/reference.ts";
import { projectResource, repositoryResource, type ResourceName } from "../names/resources.ts";
import { ensureRegistry } from "../projects/registries.ts";
import { actorOf } from "../access/audit/audit-log.ts";
import { anonymousMessage, badCredentialMessage, unauthorized } from "./challenge.ts";
import type { RegistryCall } from "./context.ts";
import { apiVersion } from "./replies.ts";
import { requireService } from "./service-check.ts";
import { actionNeeds, catalogResource, parseScope, type Scope } from "./scopes.ts";
import { mayPullSome } from "./tag-rights.ts";

/** Docker and gcloud get a new token by themselves when one ends. */
const lifetime = 3600;
const maxScopes = 50;
const maxForm = 64 * 1024;

/** What a token request asks, from the query of a GET or the form of a POST. */
export interface TokenRequest {
  authorization: string | null;
  scopes: string[];
}

/**
 * Reads a POST: `grant_type=password` with the name and password that Basic would carry, scopes separated by spaces.
 * @throws BerthError UNAUTHORIZED for a grant type that the registry does not know
 */
export async function readTokenForm(
  request: Request,
  asked: { scheme: string; host: string },
  idle: IdleLimit,
): Promise<TokenRequest> {
  const tooLarge = (): BerthError => new BerthError("REQUEST_INVALID", "The form is too large.");
  const form = new URLSearchParams(Buffer.from(await readBody(request, maxForm, tooLarge, idle)).toString("utf8"));
  const scopes = form.getAll("scope");
  const header = request.headers.get("authorization");
  if (header !== null) return { authorization: header, scopes };
  if (form.get("grant_type") !== "password") throw unauthorized(asked, "", badCredentialMessage.password);
  const pair = `${form.get("username") ?? ""}:${form.get("password") ?? ""}`;
  return { authorization: `Basic ${Buffer.from(pair).toString("base64")}`, scopes };
}

/**
 * Gives out a token for what was asked and the caller may do. A push that is not allowed is refused here, since for
 * many clients this exchange alone tells; one that is allowed makes the registry.
 */
export async function issueToken(call: RegistryCall, scopes: readonly string[]): Promise<Response> {
  const { rooms, requested, identity } = call;
  const asked = scopes.flatMap((text) => text.split(" ")).filter((text) => text !== "");
  if (asked.length > maxScopes) throw new BerthError("REQUEST_INVALID", `A token has at most ${maxScopes} scopes.`);
  const access: TokenAccess[] = [];
  for (const scope of asked.map(parseScope)) {
    if (scope === undefined) continue;
    const granted = await grantedActions(call, scope);
    if (granted.length > 0) access.push({ type: scope.type, name: scope.name, actions: granted });
  }
  const { caller, holder, expiresAt: end } = identity;
  if (caller.principal === anonymous && asked.length > 0 && access.length === 0) {
    throw unauthorized({ scheme: call.scheme, host: call.host }, "", anonymousMessage);
  }
  const now = rooms.now();
  const issuedAt = Math.floor(now / 1000);
  const host = requested.host.name;
  // A token that is exchanged for another does not outlive itself in it.
  const expiresAt = Math.min(issuedAt + lifetime, Math.floor(end / 1000));
  const token = await rooms.tokens.issue({ holder, host, access, issuedAt: now / 1000, expiresAt });
  const issued_at = new Date(issuedAt * 1000).toISOString();
  const body = { token, access_token: token, expires_in: expiresAt - issuedAt, issued_at };
  return Response.json(body, { headers: { ...apiVersion, "cache-control": "no-store" } });
}

async function grantedActions(call: RegistryCall, scope: Scope): Promise<string[]> {
  const { project } = scope;
  // What stands in the catalog is asked when it is listed; the credential has to be made for listing at all.
  if (project === undefined) {
    const { caller } = call.identity;
    const mayList = caller.principal !== anonymous && withinBounds(caller, "storage.objects.list", catalogResource);
    return mayList ? scope.actions : [];
  }
  const { name: host } = call.requested.host;
  const resource = repositoryResource(bucketName(host, project), scope.name);
  // A token that was made for less gets no more by being shown again.
  const bounded = !withinBounds(call.identity.caller, "storage.objects.create", resource);
  const pushes = scope.actions.includes("push") && !bounded;
  if (pushes) await preparePush(call, project, resource);
  const granted: string[] = [];
  for (const action of scope.actions) {
    if (await isGranted(call, { action, project, resource })) granted.push(action);
  }
  // To some clients the exchange alone tells whether they may push.
  if (pushes && !granted.includes("push")) {
    throw new BerthError("DENIED", exchangeFailed(project, "storage.objects.create"));
  }
  if (granted.length > 0) await requireService(call, project);
  return granted;
}

interface AskedAction {
  action: string;
  project: ProjectId;
  resource: ResourceName;
}

async function isGranted(call: RegistryCall, { action, project, resource }: AskedAction): Promise<boolean> {
  const { access } = call.rooms;
  const { caller } = call.identity;
  const accessesOf = (permissions: readonly Permission[]): Access[] =>
    permissions.map((permission) => ({ permission, resource, project }));
  for (const permissions of actionNeeds(action)) {
    const accesses = accessesOf(permissions);
    const held = await Promise.all(accesses.map((each) => access.isAllowed(caller, each)));
    if (held.every(Boolean)) return !isRefusal(await access.authorize(caller, accesses, call.call));
    const [get] = accesses as [Access];
    const isPull = get.permission === "storage.objects.get" && withinBounds(caller, get.permission, resource);
    if (isPull && action === "pull" && (await mayPullSome(call, get))) return true;
  }
  // A denial, for the audit log.
  await access.authorize(caller, accessesOf(actionNeeds(action)[0] ?? []), call.call);
  return false;
}

/**
 * Checks the right to push to a repository, and makes the registry if this is its first push.
 * @throws BerthError UNAUTHORIZED, DENIED
 */
export async function preparePush(call: RegistryCall, project: ProjectId, repository: ResourceName): Promise<void> {
  const { rooms, requested, identity } = call;
  const { host } = requested;
  if (host.readOnly) throw new BerthError("DENIED", `${host.name} takes no pushes.`);
  const known = await rooms.registries.find(host.name, project);
  const access =
    known === undefined
      ? ({ permission: "storage.buckets.create", resource: projectResource(project), project } as const)
      : ({ permission: "storage.buckets.get", resource: repository, project } as const);
  // A token reaches repositories only; the bucket behind them is asked about on its owner's behalf.
  const owner = { ...identity.caller, bounds: undefined };
  const decision = await rooms.access.authorize(owner, [access], call.call);
  if (!isRefusal(decision)) {
    if (known !== undefined) return;
    const actor = actorOf(decision);
    await rooms.database.write(ensureRegistry, {
      host: host.name,
      project,
      store: host.store,
      etag: newEtag(),
      actor,
      now: rooms.now(),
    });
    return;
  }
  if (decision.refused === "anonymous") {
    throw unauthorized({ scheme: call.scheme, host: call.host }, "", anonymousMessage);
  }
  // Who cannot see the registry does not learn whether it is there, as with Container Registry.
  const seen = { permission: "storage.buckets.list", resource: projectResource(project), project } as const;
  const isVisible = known !== undefined && (await rooms.access.isAllowed(owner, seen));
  throw new BerthError("DENIED", exchangeFailed(project, isVisible ? "storage.buckets.get" : "storage.buckets.create"));
}

/** In Container Registry's words. */
function exchangeFailed(project: ProjectId, permission: Permission): string {
  return (
    `Token exchange failed for project '${project}'. Caller does not have permission '${permission}'. ` +
    "To configure permissions, follow instructions at: https://cloud.google.com/container-registry/docs/access-control"
  );
}
