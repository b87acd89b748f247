import { createPrivateKey, sign } from "node:crypto";
import { SignJWT } from "jose";
import { z } from "zod";
import { type Access, type AccessControl, isRefusal } from "../access/access-control.ts";
import { type ApiCall, type ApiRoute, apiRoute } from "../access/api-route.ts";
import type { Permission } from "../access/permissions.ts";
import { ApiError } from "../http/api-error.ts";
import type { SigningKeys } from "../keys/signing-keys.ts";
import { serviceAccountPrincipal } from "../names/principals.ts";
import { accountNeeds, type AccountRooms, requireFound } from "./account-needs.ts";
import type { AccessTokens } from "./access-tokens.ts";
import type { Memberships } from "./memberships.ts";
import { issueIdToken } from "./id-tokens.ts";
import { clockSkew } from "./assertions.ts";
import { findServiceAccount, type ServiceAccount } from "./service-accounts.ts";
import { systemKey } from "./system-keys.ts";
import { longestChain } from "./revocation.ts";
import { accessTokenSeconds } from "./token-lifetimes.ts";
import type { Standing } from "./standing.ts";

const service = "iamcredentials.googleapis.com";
const accountPath = "/v1/projects/{project}/serviceAccounts/{account}";
const maxPayload = 64 * 1024;
/** Accounts in a chain of delegation. */
const maxDelegates = 4;

const delegates = z.array(z.string().max(400)).max(maxDelegates).nullish();

interface CredentialsRooms extends AccountRooms {
  access: AccessControl;
  memberships: Memberships;
  accessTokens: AccessTokens;
  signingKeys: SigningKeys;
  standing: Standing;
}

/** Acting as a service account without a key of it. [IAM Service Account Credentials API v1] */
export function credentialsRoutes(rooms: CredentialsRooms): ApiRoute[] {
  const needs = delegatedNeeds(rooms);
  const method = (name: string): string => `google.iam.credentials.v1.IAMCredentials.${name}`;
  return [
    apiRoute({
      id: method("GenerateAccessToken"),
      service,
      method: "POST",
      path: `${accountPath}:generateAccessToken`,
      body: z.strictObject({
        delegates,
        scope: z.array(z.string().max(200)).min(1, "expected the scopes of the token").max(50),
        lifetime: z
          .string()
          .regex(/^\d{1,6}(?:\.\d{1,9})?s$/, 'expected seconds, such as "3600s"')
          .optional(),
      }),
      needs: needs("iam.serviceAccounts.getAccessToken"),
      async handle(call) {
        const account = await requireUsable(rooms, call, "iam.serviceAccounts.getAccessToken");
        const seconds = Math.floor(Number((call.body.lifetime ?? `${accessTokenSeconds}s`).slice(0, -1)));
        if (seconds < 1 || seconds > accessTokenSeconds) {
          throw new ApiError("INVALID_ARGUMENT", `lifetime: expected 1s to ${accessTokenSeconds}s.`);
        }
        const issuedAt = call.now / 1000;
        const expiresAt = Math.floor(issuedAt) + seconds;
        const scope = call.body.scope.join(" ");
        const accessToken = await rooms.accessTokens.issue({
          holder: holderAs(account, call),
          scope,
          issuedAt,
          expiresAt,
        });
        return { accessToken, expireTime: new Date(expiresAt * 1000).toISOString().replace(".000", "") };
      },
    }),
    apiRoute({
      id: method("GenerateIdToken"),
      service,
      method: "POST",
      path: `${accountPath}:generateIdToken`,
      body: z.strictObject({
        delegates,
        audience: z.string().min(1).max(1000),
        includeEmail: z.boolean().optional(),
        useEmailAzp: z.boolean().optional(),
      }),
      needs: needs("iam.serviceAccounts.getOpenIdToken"),
      async handle(call) {
        const { email, uniqueId } = await requireUsable(rooms, call, "iam.serviceAccounts.getOpenIdToken");
        const issuedAt = Math.floor(call.now / 1000);
        const token = await issueIdToken(rooms.signingKeys, {
          issuer: rooms.issuer,
          audience: call.body.audience,
          subject: uniqueId,
          email: call.body.includeEmail === true ? email : undefined,
          authorizedParty: call.body.useEmailAzp === true ? email : uniqueId,
          issuedAt,
          expiresAt: issuedAt + accessTokenSeconds,
        });
        return { token };
      },
    }),
    apiRoute({
      id: method("SignJwt"),
      service,
      method: "POST",
      path: `${accountPath}:signJwt`,
      body: z.strictObject({ delegates, payload: z.string().max(maxPayload) }),
      needs: needs("iam.serviceAccounts.signJwt"),
      async handle(call) {
        const account = await requireUsable(rooms, call, "iam.serviceAccounts.signJwt");
        const { id, privateKey } = await systemKey(rooms.database, account.uniqueId, call.now);
        const signedJwt = await new SignJWT(readClaims(call.body.payload, call.now))
          .setProtectedHeader({ alg: "RS256", kid: id, typ: "JWT" })
          .sign(createPrivateKey(privateKey));
        return { keyId: id, signedJwt };
      },
    }),
    apiRoute({
      id: method("SignBlob"),
      service,
      method: "POST",
      path: `${accountPath}:signBlob`,
      body: z.strictObject({ delegates, payload: z.base64().max(maxPayload) }),
      needs: needs("iam.serviceAccounts.signBlob"),
      async handle(call) {
        const account = await requireUsable(rooms, call, "iam.serviceAccounts.signBlob");
        const { id, privateKey } = await systemKey(rooms.database, account.uniqueId, call.now);
        const signature = sign("sha256", Buffer.from(call.body.payload, "base64"), createPrivateKey(privateKey));
        return { keyId: id, signedBlob: signature.toString("base64") };
      },
    }),
  ];
}

/**
 * The right on the account that is acted as, or on the first of the chain that leads to it; what the others in it may is
 * nobody's to learn who has not got this one.
 */
function delegatedNeeds(rooms: CredentialsRooms) {
  return (permission: Permission) =>
    async (call: ApiCall): Promise<Access[]> => {
      const [first] = namesOf(call);
      return first === undefined ? accountNeeds(rooms)(permission)(call) : accessTo(rooms, call, first, implicit);
    };
}

const implicit = "iam.serviceAccounts.implicitDelegation";

function accessTo(rooms: CredentialsRooms, call: ApiCall, name: string, right: Permission): Promise<Access[]> {
  return accountNeeds(rooms)(right)({ ...call, path: { project: "-", account: name } });
}

/** `projects/-/serviceAccounts/EMAIL`, as delegates are written. */
function namesOf({ body }: ApiCall): string[] {
  const { delegates: chain } = body as { delegates?: string[] | null };
  return (chain ?? []).map((name) => name.slice(name.lastIndexOf("/") + 1));
}

/**
 * With delegates A, B the caller acts for A, A for B, B for the account: each step is asked as whoever takes it.
 * [IAM, "Create short-lived credentials", delegation chain] @throws ApiError PERMISSION_DENIED
 */
async function requireChain(rooms: CredentialsRooms, call: ApiCall, permission: Permission): Promise<void> {
  const [first, ...rest] = namesOf(call);
  if (first === undefined) return;
  let by = first;
  for (const next of rest) {
    await requireRight(rooms, by, await accessTo(rooms, call, next, implicit), call);
    by = next;
  }
  await requireRight(rooms, by, await accountNeeds(rooms)(permission)(call), call);
}

/** A link of the chain, asked on behalf of the account that takes it. @throws ApiError PERMISSION_DENIED */
async function requireRight(
  rooms: CredentialsRooms,
  email: string,
  accesses: Access[],
  { call, caller }: ApiCall,
): Promise<void> {
  const account = await rooms.database.read(findServiceAccount(email));
  const principal = serviceAccountPrincipal(account?.email ?? email);
  const identities = await rooms.memberships.of(principal);
  const delegation = [...caller.delegation, caller.principal];
  const none = { keyId: "", tokenIds: [], delegation, origins: [], bounds: undefined, issuedAt: 0 };
  const isUsable = account !== undefined && (await rooms.standing.account(account.uniqueId)) !== undefined;
  const decision = await rooms.access.authorize({ principal, identities, ...none }, accesses, call);
  if (isUsable && !isRefusal(decision)) return;
  throw new ApiError(
    "PERMISSION_DENIED",
    `delegates: ${email.slice(0, 300)} lacks the permission '${accesses[0]?.permission}' on the next in the chain (or one of them does not exist).`,
  );
}

/** The account, if all of the chain leads to it. A disabled one is acted as by nobody. @throws ApiError */
async function requireUsable(rooms: CredentialsRooms, call: ApiCall, permission: Permission): Promise<ServiceAccount> {
  await requireChain(rooms, call, permission);
  const account = await requireFound(rooms, call);
  if (account.disabled) throw new ApiError("FAILED_PRECONDITION", `The service account ${account.email} is disabled.`);
  return account;
}

/**
 * The new token ends with the caller's own credential, if that is taken away, and with whoever has made that: it goes
 * back to them. @throws ApiError FAILED_PRECONDITION for a credential that goes back over too many others
 */
function holderAs({ email, uniqueId }: ServiceAccount, call: ApiCall) {
  const { keyId, tokenIds, delegation, principal, origins } = call.caller;
  if (origins.length >= longestChain || tokenIds.length >= longestChain) {
    throw new ApiError(
      "FAILED_PRECONDITION",
      `The credential was made from ${longestChain} others, each from the one before: sign in anew.`,
    );
  }
  const chain = namesOf(call).map((name) => (name.includes("@") ? serviceAccountPrincipal(name) : name));
  return {
    principal: serviceAccountPrincipal(email),
    accountId: uniqueId,
    keyId,
    tokenIds,
    sets: [],
    delegation: [...delegation, principal, ...chain],
    origins,
  };
}

const maxJwtSeconds = 12 * 3600;

/** @throws ApiError INVALID_ARGUMENT */
function readClaims(payload: string, now: number): Record<string, unknown> {
  let claims: unknown;
  try {
    claims = JSON.parse(payload);
  } catch {
    claims = undefined;
  }
  if (typeof claims !== "object" || claims === null || Array.isArray(claims)) {
    throw new ApiError("INVALID_ARGUMENT", "payload: expected a JSON object, the claims of the token.");
  }
  const { exp, iat } = claims as { exp?: unknown; iat?: unknown };
  if (iat !== undefined && !(typeof iat === "number" && iat <= now / 1000 + clockSkew)) {
    throw new ApiError("INVALID_ARGUMENT", "payload: iat is a time that is not to come.");
  }
  if (exp !== undefined && !(typeof exp === "number" && exp <= now / 1000 + maxJwtSeconds)) {
    throw new ApiError("INVALID_ARGUMENT", "payload: exp is a time at most 12 hours from now.");
  }
  return claims as Record<string, unknown>;
}
