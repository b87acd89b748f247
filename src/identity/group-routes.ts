import { z } from "zod";
import { type ApiRoute, apiRoute, requireGrant } from "../access/api-route.ts";
import { actorOf } from "../access/audit/audit-log.ts";
import { newEtag } from "../access/iam/etag.ts";
import { guardedProjects } from "../access/policies.ts";
import { ApiError } from "../http/api-error.ts";
import type { Database } from "../metadata/database.ts";
import { all } from "../metadata/statement.ts";
import { randomDigits } from "../names/identifiers.ts";
import { formatMember, type Member, parseMember } from "../names/members.ts";
import {
  changeMember,
  createGroup,
  deleteGroup,
  findGroup,
  type Group,
  groupColumns,
  groupFromRow,
  type GroupRow,
  updateGroup,
} from "./groups.ts";
import { emailShape, memberNeeds, nextPage, organizationNeeds, pageOf, type PeopleRooms } from "./people-routes.ts";

const service = "berth";
const groups = "/berth/v1/groups";
const text = z.string().max(300).optional();

/** Groups of users, service accounts and groups. What Google has no API for here: Berth's own. */
export function groupRoutes(rooms: PeopleRooms): ApiRoute[] {
  const { database } = rooms;
  const on = organizationNeeds(rooms);
  const onGroup = memberNeeds(rooms, (email) => `group:${email}`);
  return [
    apiRoute({
      id: "berth.groups.Create",
      service,
      method: "POST",
      path: groups,
      body: z.strictObject({ email: emailShape, displayName: text, description: text }),
      needs: on("berth.groups.create"),
      async handle({ body, now }, grant) {
        const { email, displayName = "", description = "" } = body;
        const actor = actorOf(requireGrant(grant));
        const uniqueId = randomDigits(21);
        return viewGroup(await database.write(createGroup, { uniqueId, email, displayName, description, actor, now }));
      },
    }),
    apiRoute({
      id: "berth.groups.List",
      service,
      method: "GET",
      path: groups,
      needs: on("berth.groups.list"),
      async handle({ query }) {
        const { size, after } = pageOf(query);
        const sql = `SELECT ${groupColumns} FROM groups WHERE email > ? ORDER BY email LIMIT ?`;
        const rows = await database.read(all<GroupRow>(sql, after, size + 1));
        return { groups: rows.slice(0, size).map((row) => viewGroup(groupFromRow(row))), ...nextPage(rows, size) };
      },
    }),
    apiRoute({
      id: "berth.groups.Get",
      service,
      method: "GET",
      path: `${groups}/{email}`,
      needs: on("berth.groups.get"),
      handle: async ({ path }) => viewGroup(await requireGroup(database, path.email as string)),
    }),
    apiRoute({
      id: "berth.groups.Update",
      service,
      method: "PATCH",
      path: `${groups}/{email}`,
      body: z.strictObject({ displayName: text, description: text }),
      needs: on("berth.groups.update"),
      async handle({ path, body, now }, grant) {
        const change = {
          ...(body.displayName !== undefined && { displayName: body.displayName }),
          ...(body.description !== undefined && { description: body.description }),
        };
        const email = (path.email as string).toLowerCase();
        return viewGroup(
          await database.write(updateGroup, { email, ...change, actor: actorOf(requireGrant(grant)), now }),
        );
      },
    }),
    apiRoute({
      id: "berth.groups.Delete",
      service,
      method: "DELETE",
      path: `${groups}/{email}`,
      needs: onGroup("berth.groups.delete"),
      async handle({ path, now }, grant) {
        const email = (path.email as string).toLowerCase();
        const held = requireGrant(grant);
        const guarded = await guardedProjects(database, held, `group:${email}`);
        await database.write(deleteGroup, { email, guarded, newEtag: newEtag(), actor: actorOf(held), now });
        return {};
      },
    }),
    apiRoute({
      id: "berth.groups.ListMembers",
      service,
      method: "GET",
      path: `${groups}/{email}/members`,
      needs: on("berth.groups.get"),
      async handle({ path, query }) {
        const { uniqueId } = await requireGroup(database, path.email as string);
        const { size, after } = pageOf(query);
        const rows = await database.read(
          all<{ email: Member; source: string }>(
            `SELECT member AS email, string_agg(source, ' ') AS source FROM group_members
               WHERE group_id = ? AND member > ? GROUP BY member ORDER BY member LIMIT ?`,
            uniqueId,
            after,
            size + 1,
          ),
        );
        const members = rows
          .slice(0, size)
          .map(({ email: member, source }) => ({ member, sources: source.split(" ") }));
        return { members, ...nextPage(rows, size) };
      },
    }),
    ...(["add", "remove"] as const).map((change) =>
      apiRoute({
        id: change === "add" ? "berth.groups.AddMember" : "berth.groups.RemoveMember",
        service,
        method: "POST",
        path: `${groups}/{email}:${change}Member`,
        body: z.strictObject({ member: z.string().max(1000) }),
        needs: onGroup("berth.groups.update"),
        async handle({ path, body, now }, grant) {
          const email = (path.email as string).toLowerCase();
          const member = change === "add" ? checkMember(body.member) : body.member;
          await database.write(changeMember, { email, member, change, actor: actorOf(requireGrant(grant)), now });
          return {};
        },
      }),
    ),
  ];
}

/** @throws ApiError INVALID_ARGUMENT */
function checkMember(written: string): Member {
  const parsed = parseMember(written);
  const isPossible = parsed !== undefined && ["user", "serviceAccount", "group", "principal"].includes(parsed.kind);
  if (isPossible && parsed.deletedUid === undefined) return formatMember(parsed);
  throw new ApiError(
    "INVALID_ARGUMENT",
    "member: expected user:EMAIL, serviceAccount:EMAIL, group:EMAIL or principal://….",
  );
}

async function requireGroup(database: Database, email: string): Promise<Group> {
  const group = await database.read(findGroup(email.toLowerCase()));
  if (group === undefined) throw new ApiError("NOT_FOUND", `The group ${email.slice(0, 320)} does not exist.`);
  return group;
}

function viewGroup({ uniqueId, email, displayName, description, createdAt }: Group): object {
  return { email, uniqueId, displayName, description, createTime: new Date(createdAt).toISOString() };
}
