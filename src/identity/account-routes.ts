import { z } from "zod";
import { type ApiCall, type ApiRoute, apiRoute, requireGrant } from "../access/api-route.ts";
import { actorOf } from "../access/audit/audit-log.ts";
import { newEtag } from "../access/iam/etag.ts";
import { guardedProjects } from "../access/policies.ts";
import { pageSizeOf } from "../http/page-size.ts";
import type { Database } from "../metadata/database.ts";
import { all } from "../metadata/statement.ts";
import { randomDigits } from "../names/identifiers.ts";
import { serviceAccountPrincipal } from "../names/principals.ts";
import type { ProjectId } from "../names/reference.ts";
import { viewAccount } from "./account-views.ts";
import { createAccount, deleteAccount, undeleteAccount, updateAccount } from "./manage-accounts.ts";
import { accountColumns, accountFromRow, type ServiceAccount, type ServiceAccountRow } from "./service-accounts.ts";
import {
  type AccountRooms,
  accountNeeds,
  method,
  projectNeeds,
  requireFound,
  service,
  undeleteNeeds,
} from "./account-needs.ts";
import { keyRoutes } from "./key-routes.ts";

/** Google takes 6 characters at least; shorter names harm nobody, and its own examples have them. */
const accountName = z
  .string()
  .regex(
    /^[a-z](?:[a-z0-9-]{0,28}[a-z0-9])?$/,
    "expected at most 30 lower-case letters, digits and dashes, a letter first",
  );

const displayName = z.string().max(100).optional();

const description = z.string().max(256).optional();

/** `NAME@PROJECT.iam.gserviceaccount.com`; the domain of a domain-scoped project follows its name. */
function addressOf(name: string, project: ProjectId): string {
  const [domain, id] = project.includes(":") ? project.split(":") : [undefined, project];
  return `${name}@${id}${domain === undefined ? "" : `.${domain}`}.iam.gserviceaccount.com`;
}

/** Service accounts and their keys. [IAM API v1, projects.serviceAccounts] */
export function accountRoutes(rooms: AccountRooms): ApiRoute[] {
  const { database } = rooms;
  const inProject = projectNeeds(rooms);
  const onAccount = accountNeeds(rooms);
  const found = (call: ApiCall): Promise<ServiceAccount> => requireFound(rooms, call);
  const base = "/v1/projects/{project}/serviceAccounts";
  const one = `${base}/{account}`;
  return [
    apiRoute({
      id: method("CreateServiceAccount"),
      service,
      method: "POST",
      path: base,
      body: z.strictObject({
        accountId: accountName,
        serviceAccount: z.looseObject({ displayName, description }).default({}),
      }),
      needs: inProject("iam.serviceAccounts.create"),
      async handle({ path, body, now }, grant) {
        const project = (await rooms.findProject(path.project as string)) as ProjectId;
        const account = await database.write(createAccount, {
          email: addressOf(body.accountId, project),
          uniqueId: randomDigits(21),
          project,
          displayName: body.serviceAccount.displayName ?? "",
          description: body.serviceAccount.description ?? "",
          actor: actorOf(requireGrant(grant)),
          now,
        });
        return viewAccount(account);
      },
    }),
    apiRoute({
      id: method("ListServiceAccounts"),
      service,
      method: "GET",
      path: base,
      needs: inProject("iam.serviceAccounts.list"),
      async handle({ path, query }) {
        const project = (await rooms.findProject(path.project as string)) as ProjectId;
        return listAccounts(database, project, query);
      },
    }),
    apiRoute({
      id: method("GetServiceAccount"),
      service,
      method: "GET",
      path: one,
      needs: onAccount("iam.serviceAccounts.get"),
      handle: async (call) => viewAccount(await found(call)),
    }),
    ...(["PATCH", "PUT"] as const).map((verb) =>
      apiRoute({
        id: method("UpdateServiceAccount"),
        service,
        method: verb,
        path: one,
        body: z.looseObject({
          serviceAccount: z.looseObject({ displayName, description }).optional(),
          updateMask: z.string().optional(),
          displayName,
          description,
        }),
        needs: onAccount("iam.serviceAccounts.update"),
        async handle(call, grant) {
          const { uniqueId } = await found(call);
          const change = changeOf(call.body);
          const actor = actorOf(requireGrant(grant));
          return viewAccount(await database.write(updateAccount, { uniqueId, ...change, actor, now: call.now }));
        },
      }),
    ),
    ...(["enable", "disable"] as const).map((verb) =>
      apiRoute({
        id: method(verb === "enable" ? "EnableServiceAccount" : "DisableServiceAccount"),
        service,
        method: "POST",
        path: `${one}:${verb}`,
        body: z.object({}),
        needs: onAccount(`iam.serviceAccounts.${verb}`),
        async handle(call, grant) {
          const { uniqueId } = await found(call);
          const actor = actorOf(requireGrant(grant));
          await database.write(updateAccount, { uniqueId, disabled: verb === "disable", actor, now: call.now });
          return {};
        },
      }),
    ),
    apiRoute({
      id: method("DeleteServiceAccount"),
      service,
      method: "DELETE",
      path: one,
      needs: onAccount("iam.serviceAccounts.delete"),
      async handle(call, grant) {
        const { uniqueId, email } = await found(call);
        const held = requireGrant(grant);
        const guarded = await guardedProjects(database, held, serviceAccountPrincipal(email));
        const actor = actorOf(held);
        await database.write(deleteAccount, { uniqueId, guarded, newEtag: newEtag(), actor, now: call.now });
        return {};
      },
    }),
    apiRoute({
      id: method("UndeleteServiceAccount"),
      service,
      method: "POST",
      path: `${one}:undelete`,
      body: z.object({}),
      needs: (call) => undeleteNeeds(rooms, call),
      async handle({ path, now }, grant) {
        const uniqueId = path.account as string;
        const actor = actorOf(requireGrant(grant));
        const restoredAccount = await database.write(undeleteAccount, { uniqueId, newEtag: newEtag(), actor, now });
        return { restoredAccount: viewAccount(restoredAccount) };
      },
    }),
    ...keyRoutes(rooms, one),
  ];
}

const maxPage = 100;

async function listAccounts(database: Database, project: ProjectId, query: URLSearchParams): Promise<object> {
  const size = pageSizeOf(query, { usual: maxPage, largest: maxPage });
  const after = Buffer.from(query.get("pageToken") ?? "", "base64url").toString("utf8");
  const rows = await database.read(
    all<ServiceAccountRow>(
      `SELECT ${accountColumns} FROM service_accounts WHERE project_id = ? AND deleted_at IS NULL AND email > ?
         ORDER BY email LIMIT ?`,
      project,
      after,
      size + 1,
    ),
  );
  const shown = rows.slice(0, size).map(accountFromRow);
  const last = shown.at(-1);
  return {
    ...(shown.length > 0 && { accounts: shown.map(viewAccount) }),
    ...(rows.length > size && last && { nextPageToken: Buffer.from(last.email).toString("base64url") }),
  };
}

interface UpdateBody {
  serviceAccount?: { displayName?: string | undefined; description?: string | undefined } | undefined;
  updateMask?: string | undefined;
  displayName?: string | undefined;
  description?: string | undefined;
}

/** PATCH has the account inside and a mask; the older PUT is the account, of which only the display name changes. */
function changeOf({ serviceAccount, updateMask, displayName: name, description: text }: UpdateBody): {
  displayName?: string;
  description?: string;
} {
  const given = serviceAccount ?? { displayName: name, description: text };
  const masked = updateMask?.split(",").map((field) => field.replace(/_n/, "N"));
  const takes = (field: "displayName" | "description"): boolean =>
    masked === undefined ? given[field] !== undefined : masked.includes(field);
  return {
    ...(takes("displayName") && { displayName: given.displayName ?? "" }),
    ...(takes("description") && { description: given.description ?? "" }),
  };
}
