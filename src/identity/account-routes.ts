import { createPublicKey, X509Certificate } from "node:crypto";
import { z } from "zod";
import type { Access } from "../access/access-control.ts";
import { type ApiCall, type ApiRoute, apiRoute, requireGrant } from "../access/api-route.ts";
import { actorOf } from "../access/audit/audit-log.ts";
import { newEtag } from "../access/iam/etag.ts";
import type { Permission } from "../access/permissions.ts";
import { ApiError } from "../http/api-error.ts";
import type { Database } from "../metadata/database.ts";
import { all, first } from "../metadata/statement.ts";
import { randomDigits } from "../names/identifiers.ts";
import type { ProjectId } from "../names/reference.ts";
import { projectResource, serviceAccountResource } from "../names/resources.ts";
import { keyColumns, type KeyRow, viewAccount, viewKey } from "./account-views.ts";
import { formatKeyFile, makeKey } from "./key-files.ts";
import {
  addKey,
  changeKey,
  createAccount,
  deleteAccount,
  undeleteAccount,
  unknownAccount,
  updateAccount,
} from "./manage-accounts.ts";
import {
  accountColumns,
  accountFromRow,
  findServiceAccount,
  type ServiceAccount,
  type ServiceAccountRow,
} from "./service-accounts.ts";

const service = "iam.googleapis.com";
const method = (name: string): string => `google.iam.admin.v1.${name}`;

/** What service accounts need of the rooms above: which project a name or number means. */
export interface AccountRooms {
  database: Database;
  /** A project by its id or number; `undefined` if there is none. */
  findProject(idOrNumber: string): Promise<ProjectId | undefined>;
  /** The server's public address: where key files send for tokens. */
  issuer: string;
}

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
        const { uniqueId } = await found(call);
        const actor = actorOf(requireGrant(grant));
        await database.write(deleteAccount, { uniqueId, newEtag: newEtag(), actor, now: call.now });
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

/** Keys of an account. The private half of one that is made here is in the reply, and nowhere else. */
function keyRoutes(rooms: AccountRooms, one: string): ApiRoute[] {
  const { database } = rooms;
  const onAccount = accountNeeds(rooms);
  const found = (call: ApiCall): Promise<ServiceAccount> => requireFound(rooms, call);
  return [
    apiRoute({
      id: method("CreateServiceAccountKey"),
      service,
      method: "POST",
      path: `${one}/keys`,
      body: z.strictObject({
        privateKeyType: z
          .enum(["TYPE_UNSPECIFIED", "TYPE_GOOGLE_CREDENTIALS_FILE"], "only TYPE_GOOGLE_CREDENTIALS_FILE is made")
          .optional(),
        keyAlgorithm: z.enum(["KEY_ALG_UNSPECIFIED", "KEY_ALG_RSA_2048"], "only KEY_ALG_RSA_2048 is made").optional(),
      }),
      needs: onAccount("iam.serviceAccountKeys.create"),
      async handle(call, grant) {
        const account = await found(call);
        const { project, email, uniqueId } = account;
        const key = await makeKey();
        const actor = actorOf(requireGrant(grant));
        const { id, publicKey } = key;
        const origin = "GOOGLE_PROVIDED";
        await database.write(addKey, { id, accountId: uniqueId, publicKey, origin, actor, now: call.now });
        const file = formatKeyFile(key, { project, email, uniqueId, server: rooms.issuer });
        return {
          ...viewKey(account, await requireKey(database, account, id)),
          privateKeyType: "TYPE_GOOGLE_CREDENTIALS_FILE",
          privateKeyData: Buffer.from(file).toString("base64"),
        };
      },
    }),
    apiRoute({
      id: method("UploadServiceAccountKey"),
      service,
      method: "POST",
      path: `${one}/keys:upload`,
      body: z.strictObject({ publicKeyData: z.string().max(20_000) }),
      needs: onAccount("iam.serviceAccountKeys.create"),
      async handle(call, grant) {
        const account = await found(call);
        const { publicKey, expiresAt } = readPublicKey(call.body.publicKeyData);
        const id = Bun.CryptoHasher.hash("sha1", publicKey, "hex");
        const actor = actorOf(requireGrant(grant));
        const accountId = account.uniqueId;
        const origin = "USER_PROVIDED";
        const added = {
          id,
          accountId,
          publicKey,
          origin,
          actor,
          now: call.now,
          ...(expiresAt && { expiresAt }),
        } as const;
        await database.write(addKey, added);
        return viewKey(account, await requireKey(database, account, id));
      },
    }),
    apiRoute({
      id: method("ListServiceAccountKeys"),
      service,
      method: "GET",
      path: `${one}/keys`,
      needs: onAccount("iam.serviceAccountKeys.list"),
      async handle(call) {
        const account = await found(call);
        const rows = await database.read(
          all<KeyRow>(
            `SELECT ${keyColumns} FROM service_account_keys WHERE account_id = ? ORDER BY created_at, id`,
            account.uniqueId,
          ),
        );
        const types = call.query.getAll("keyTypes");
        const asked = rows.filter(({ origin }) => {
          const type = origin === "SYSTEM_MANAGED" ? "SYSTEM_MANAGED" : "USER_MANAGED";
          return types.length === 0 || types.includes(type);
        });
        return { ...(asked.length > 0 && { keys: asked.map((row) => viewKey(account, row)) }) };
      },
    }),
    apiRoute({
      id: method("GetServiceAccountKey"),
      service,
      method: "GET",
      path: `${one}/keys/{key}`,
      needs: onAccount("iam.serviceAccountKeys.get"),
      async handle(call) {
        const account = await found(call);
        const row = await requireKey(database, account, call.path.key as string);
        const publicKeyData =
          call.query.get("publicKeyType") === "TYPE_RAW_PUBLIC_KEY"
            ? { publicKeyData: Buffer.from(row.public_key).toString("base64") }
            : {};
        return { ...viewKey(account, row), ...publicKeyData };
      },
    }),
    ...(["enable", "disable", "delete"] as const).map((change) =>
      apiRoute({
        id: method(`${change[0]?.toUpperCase()}${change.slice(1)}ServiceAccountKey`),
        service,
        method: change === "delete" ? "DELETE" : "POST",
        path: `${one}/keys/{key}${change === "delete" ? "" : `:${change}`}`,
        ...(change === "delete" ? {} : { body: z.looseObject({}) }),
        needs: onAccount(`iam.serviceAccountKeys.${change}`),
        async handle(call, grant) {
          const account = await found(call);
          const actor = actorOf(requireGrant(grant));
          const keyId = call.path.key as string;
          await database.write(changeKey, { accountId: account.uniqueId, keyId, change, actor, now: call.now });
          return {};
        },
      }),
    ),
  ];
}

function projectNeeds(rooms: AccountRooms) {
  return (permission: Permission) =>
    async ({ path }: ApiCall): Promise<Access[]> => {
      const named = path.project as string;
      const project = (await rooms.findProject(named)) ?? (named as ProjectId);
      return [{ permission, resource: projectResource(project), project }];
    };
}

/**
 * A right on an account. One that does not exist, or is another project's than the address says, is asked about as if
 * it were there: then who may look is told that it is not.
 */
export function accountNeeds(rooms: AccountRooms) {
  return (permission: Permission) =>
    async (call: ApiCall): Promise<Access[]> => {
      const account = await lookUp(rooms, call);
      if (account !== undefined) {
        const { project, uniqueId } = account;
        return [{ permission, resource: serviceAccountResource(project, uniqueId), project }];
      }
      const { project: named, account: name } = call.path as { project: string; account: string };
      const project = (await rooms.findProject(named === "-" ? projectOfAddress(name) : named)) ?? (named as ProjectId);
      return [{ permission, resource: serviceAccountResource(project, name), project }];
    };
}

/** Undelete names the account by its unique id, since its address may be another's by now. */
async function undeleteNeeds(rooms: AccountRooms, { path }: ApiCall): Promise<Access[]> {
  const permission = "iam.serviceAccounts.undelete";
  const uniqueId = path.account as string;
  const row = await rooms.database.readRow<{ project_id: ProjectId }>(
    "SELECT project_id FROM service_accounts WHERE unique_id = ?",
    uniqueId,
  );
  const named = path.project as string;
  const project = row?.project_id ?? (await rooms.findProject(named)) ?? (named as ProjectId);
  return [{ permission, resource: projectResource(project), project }];
}

/** `NAME@PROJECT[.DOMAIN].iam.gserviceaccount.com` → the project's id. */
function projectOfAddress(email: string): string {
  const [, id, domain] = /@([^.@]+)(?:\.(.+))?\.iam\.gserviceaccount\.com$/.exec(email) ?? [];
  return domain === undefined ? (id ?? "") : `${domain}:${id}`;
}

async function lookUp({ database, findProject }: AccountRooms, { path }: ApiCall): Promise<ServiceAccount | undefined> {
  const account = await database.read(findServiceAccount((path.account as string).toLowerCase()));
  if (account === undefined || path.project === "-") return account;
  return (await findProject(path.project as string)) === account.project ? account : undefined;
}

/** The account that a path names. @throws ApiError NOT_FOUND */
export async function requireFound(rooms: AccountRooms, call: ApiCall): Promise<ServiceAccount> {
  const account = await lookUp(rooms, call);
  if (account === undefined) throw unknownAccount(call.path.account as string);
  return account;
}

async function requireKey(database: Database, account: ServiceAccount, id: string): Promise<KeyRow> {
  const row = await database.read(
    first<KeyRow>(
      `SELECT ${keyColumns} FROM service_account_keys WHERE id = ? AND account_id = ?`,
      id,
      account.uniqueId,
    ),
  );
  if (row === undefined) throw new ApiError("NOT_FOUND", `Service account key ${id.slice(0, 100)} does not exist.`);
  return row;
}

const maxPage = 100;

async function listAccounts(database: Database, project: ProjectId, query: URLSearchParams): Promise<object> {
  const size = Math.min(Number(query.get("pageSize") ?? maxPage) || maxPage, maxPage);
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

/** An RSA key in an X.509 certificate, as gcloud uploads it. @throws ApiError INVALID_ARGUMENT */
function readPublicKey(data: string): { publicKey: string; expiresAt: number | undefined } {
  const text = Buffer.from(data, "base64").toString("utf8");
  try {
    const certificate = text.includes("BEGIN CERTIFICATE") ? new X509Certificate(text) : undefined;
    const key = certificate?.publicKey ?? createPublicKey(text);
    const { modulusLength = 0 } = key.asymmetricKeyDetails ?? {};
    if (key.asymmetricKeyType !== "rsa" || modulusLength < 2048) throw new Error("not RSA of 2,048 bits or more");
    const publicKey = key.export({ type: "spki", format: "pem" }) as string;
    return { publicKey, expiresAt: certificate === undefined ? undefined : Date.parse(certificate.validTo) };
  } catch {
    throw new ApiError(
      "INVALID_ARGUMENT",
      "publicKeyData: expected an RSA public key of at least 2,048 bits in an X.509 certificate in PEM, in base64.",
    );
  }
}
