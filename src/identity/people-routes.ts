import { z } from "zod";
import type { Access, AccessControl } from "../access/access-control.ts";
import { type ApiCall, type ApiRoute, apiRoute, requireGrant } from "../access/api-route.ts";
import { actorFor, actorOf } from "../access/audit/audit-log.ts";
import { newEtag } from "../access/iam/etag.ts";
import { guardedProjects } from "../access/policies.ts";
import type { Permission } from "../access/permissions.ts";
import { ApiError } from "../http/api-error.ts";
import { pageSizeOf } from "../http/page-size.ts";
import type { Database } from "../metadata/database.ts";
import { all } from "../metadata/statement.ts";
import { randomDigits } from "../names/identifiers.ts";
import { type Member, parseMember } from "../names/members.ts";
import { userPrincipal } from "../names/principals.ts";
import { organizationResource } from "../names/resources.ts";
import { checkPassword, hashPassword, longestPassword, randomPassword, verifyPassword } from "./passwords.ts";
import { type Administered, takeoverNeeds } from "./account-needs.ts";
import type { SignInThrottle } from "./sign-in-throttle.ts";
import {
  changePassword,
  createUser,
  deleteUser,
  findUser,
  updateUser,
  type User,
  userColumns,
  userFromRow,
  type UserRow,
} from "./users.ts";

const service = "berth";
const users = "/berth/v1/users";

export interface PeopleRooms {
  database: Database;
  access: AccessControl;
  throttle: SignInThrottle;
  organization(): string | Promise<string>;
  administered: Administered;
}

export const emailShape = z
  .string()
  .max(320)
  .transform((text) => text.toLowerCase())
  .refine((email) => parseMember(`user:${email}`) !== undefined, "expected an e-mail address");
const displayName = z.string().max(100).optional();
const password = z.string().max(longestPassword);

/** Local users. What Google has no API for: Berth's own. */
export function userRoutes(rooms: PeopleRooms): ApiRoute[] {
  const { database } = rooms;
  const on = organizationNeeds(rooms);
  const onUser = memberNeeds(rooms, userPrincipal);
  return [
    apiRoute({
      id: "berth.users.Create",
      service,
      method: "POST",
      path: users,
      body: z.strictObject({ email: emailShape, displayName, password: password.optional() }),
      needs: on("berth.users.create"),
      async handle({ body, now }, grant) {
        const { email } = body;
        if (body.password !== undefined) checkPassword(body.password, email);
        const made = body.password === undefined ? randomPassword() : undefined;
        const user = await database.write(createUser, {
          uniqueId: randomDigits(21),
          email,
          displayName: body.displayName ?? "",
          passwordHash: await hashPassword(body.password ?? (made as string)),
          actor: actorOf(requireGrant(grant)),
          now,
        });
        // Shown once, and kept nowhere.
        return { ...viewUser(user), ...(made !== undefined && { password: made }) };
      },
    }),
    apiRoute({
      id: "berth.users.List",
      service,
      method: "GET",
      path: users,
      needs: on("berth.users.list"),
      async handle({ query }) {
        const { size, after } = pageOf(query);
        const rows = await database.read(
          all<UserRow>(
            `SELECT ${userColumns} FROM users WHERE deleted_at IS NULL AND email > ? ORDER BY email LIMIT ?`,
            after,
            size + 1,
          ),
        );
        return { users: rows.slice(0, size).map((row) => viewUser(userFromRow(row))), ...nextPage(rows, size) };
      },
    }),
    apiRoute({
      id: "berth.users.Get",
      service,
      method: "GET",
      path: `${users}/{email}`,
      needs: on("berth.users.get"),
      handle: async ({ path }) => viewUser(userFromRow(await requireUser(database, path.email as string))),
    }),
    apiRoute({
      id: "berth.users.Update",
      service,
      method: "PATCH",
      path: `${users}/{email}`,
      body: z.strictObject({ displayName, disabled: z.boolean().optional() }),
      needs: onUser("berth.users.update"),
      async handle({ path, body, now }, grant) {
        const change = {
          ...(body.displayName !== undefined && { displayName: body.displayName }),
          ...(body.disabled !== undefined && { disabled: body.disabled }),
        };
        const email = (path.email as string).toLowerCase();
        return viewUser(
          await database.write(updateUser, { email, ...change, actor: actorOf(requireGrant(grant)), now }),
        );
      },
    }),
    apiRoute({
      id: "berth.users.Delete",
      service,
      method: "DELETE",
      path: `${users}/{email}`,
      needs: onUser("berth.users.delete"),
      async handle({ path, now }, grant) {
        const email = (path.email as string).toLowerCase();
        const held = requireGrant(grant);
        const guarded = await guardedProjects(database, held, userPrincipal(email));
        await database.write(deleteUser, { email, guarded, newEtag: newEtag(), actor: actorOf(held), now });
        return {};
      },
    }),
    apiRoute({
      id: "berth.users.SetPassword",
      service,
      method: "POST",
      path: `${users}/{email}:setPassword`,
      body: z.strictObject({ password: password.optional() }),
      needs: onUser("berth.users.update"),
      async handle({ path, body, now }, grant) {
        const user = userFromRow(await requireUser(database, path.email as string));
        requireLocal(user);
        if (body.password !== undefined) checkPassword(body.password, user.email);
        const made = body.password === undefined ? randomPassword() : undefined;
        const passwordHash = await hashPassword(body.password ?? (made as string));
        await database.write(changePassword, {
          email: user.email,
          passwordHash,
          actor: actorOf(requireGrant(grant)),
          now,
        });
        return made === undefined ? {} : { password: made };
      },
    }),
    apiRoute({
      id: "berth.users.ChangePassword",
      service,
      method: "POST",
      path: "/berth/v1/me:changePassword",
      body: z.strictObject({ oldPassword: password, newPassword: password }),
      needs: () => "somebody",
      handle: (call) => changeOwnPassword(rooms, call, call.body.oldPassword, call.body.newPassword),
    }),
    apiRoute({
      id: "berth.users.Me",
      service,
      method: "GET",
      path: "/berth/v1/me",
      needs: () => "somebody",
      handle: ({ caller }) =>
        Promise.resolve({
          principal: caller.principal,
          groups: [...caller.identities].filter((each) => each.startsWith("group:")),
        }),
    }),
  ];
}

/** The old password is asked for again: a token that was stolen does not take the account over. */
async function changeOwnPassword(
  { database, access, throttle }: PeopleRooms,
  { caller, call, now }: ApiCall,
  oldPassword: string,
  newPassword: string,
): Promise<object> {
  const email = caller.principal.startsWith("user:") ? caller.principal.slice("user:".length) : "";
  const row = await database.read(findUser(email));
  if (row === undefined) throw new ApiError("FAILED_PRECONDITION", "Only users have passwords.");
  requireLocal(userFromRow(row));
  const isRight = await throttle.verify(email, call.clientAddress, () =>
    verifyPassword(oldPassword, row.password_hash ?? undefined),
  );
  if (typeof isRight !== "boolean") {
    const headers = { "retry-after": String(isRight.retryAfter) };
    throw new ApiError("RESOURCE_EXHAUSTED", "Too many failed attempts.", headers);
  }
  if (!isRight) {
    access.credentialRefused(call, "password");
    throw new ApiError("PERMISSION_DENIED", "oldPassword: it is not the user's.");
  }
  checkPassword(newPassword, email);
  const passwordHash = await hashPassword(newPassword);
  await database.write(changePassword, { email, passwordHash, actor: actorFor(caller, [], call), now });
  return {};
}

/** @throws ApiError FAILED_PRECONDITION */
function requireLocal({ issuer, email }: User): void {
  if (issuer === undefined) return;
  throw new ApiError("FAILED_PRECONDITION", `${email} signs in through ${issuer}, and has no password here.`);
}

async function requireUser(database: Database, email: string): Promise<UserRow> {
  const row = await database.read(findUser(email.toLowerCase()));
  if (row === undefined) throw new ApiError("NOT_FOUND", `The user ${email.slice(0, 320)} does not exist.`);
  return row;
}

function viewUser({ uniqueId, email, displayName: name, issuer, disabled, createdAt }: User): object {
  return {
    email,
    uniqueId,
    displayName: name,
    ...(issuer !== undefined && { issuer }),
    disabled,
    createTime: new Date(createdAt).toISOString(),
  };
}

export function organizationNeeds({ organization }: Pick<PeopleRooms, "organization">) {
  return (permission: Permission) => async (): Promise<Access[]> => [
    { permission, resource: organizationResource(await organization()), project: undefined },
  ];
}

/** The same for a user or a group of the path; for one that administers the organisation, that too. */
export function memberNeeds(
  rooms: Pick<PeopleRooms, "organization" | "administered">,
  memberOf: (email: string) => Member,
) {
  const on = organizationNeeds(rooms);
  return (permission: Permission) =>
    async ({ path }: ApiCall): Promise<Access[]> => [
      ...(await on(permission)()),
      ...(await takeoverNeeds(rooms.administered, memberOf((path.email as string).toLowerCase()))),
    ];
}

const maxPage = 500;

export function pageOf(query: URLSearchParams): { size: number; after: string } {
  const size = pageSizeOf(query, { usual: 100, largest: maxPage });
  return { size, after: Buffer.from(query.get("pageToken") ?? "", "base64url").toString("utf8") };
}

/** @param rows one more than the page has, if there are more */
export function nextPage(rows: readonly { email: string }[], size: number): { nextPageToken?: string } {
  const last = rows[size - 1];
  return rows.length > size && last !== undefined
    ? { nextPageToken: Buffer.from(last.email).toString("base64url") }
    : {};
}
