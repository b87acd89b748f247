import { isRefusal } from "../access/access-control.ts";
import { newEtag } from "../access/iam/etag.ts";
import { withinBounds } from "../access/caller.ts";
import { BerthError } from "../http/berth-error.ts";
import { type IdleLimit, readBody } from "../http/body.ts";
import type { TokenAccess } from "../identity/registry-tokens.ts";
import { bucketName } from "../names/buckets.ts";
import { anonymous } from "../names/principals.ts";
import { bucketResource, projectResource, repositoryResource } from "../names/resources.ts";
import { ensureRegistry } from "../projects/registries.ts";
import { actorOf } from "../access/audit/audit-log.ts";
import { anonymousMessage, badCredentialMessage, unauthorized } from "./challenge.ts";
import type { RegistryCall } from "./context.ts";
import { apiVersion } from "./replies.ts";
import { requireService } from "./service-check.ts";
import { actionPermissions, catalogResource, parseScope, type Scope } from "./scopes.ts";

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
  if (scope.actions.includes("push") && !bounded) await preparePush(call, project);
  const granted: string[] = [];
  for (const action of scope.actions) {
    const accesses = actionPermissions(action).map((permission) => ({ permission, resource, project }));
    const decision = await call.rooms.access.authorize(call.identity.caller, accesses, call.call);
    if (!isRefusal(decision)) granted.push(action);
  }
  if (granted.length > 0) await requireService(call, project);
  return granted;
}

/** Checks the right to push, and makes the registry if this is its first. @throws BerthError UNAUTHORIZED, DENIED */
export async function preparePush(call: RegistryCall, project: NonNullable<Scope["project"]>): Promise<void> {
  const { rooms, requested, identity } = call;
  const { host } = requested;
  if (host.readOnly) throw new BerthError("DENIED", `${host.name} takes no pushes.`);
  const known = await rooms.registries.find(host.name, project);
  const access =
    known === undefined
      ? ({ permission: "storage.buckets.create", resource: projectResource(project), project } as const)
      : ({ permission: "storage.buckets.get", resource: bucketResource(known.bucket), project } as const);
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
  throw new BerthError(
    "DENIED",
    `Token exchange failed for project '${project}'. Caller does not have permission '${access.permission}'. ` +
      "To configure permissions, follow instructions at: https://cloud.google.com/container-registry/docs/access-control",
  );
}
