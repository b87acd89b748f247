import { createPublicKey, X509Certificate } from "node:crypto";
import { z } from "zod";
import { type ApiCall, type ApiRoute, apiRoute, requireGrant } from "../access/api-route.ts";
import { actorOf } from "../access/audit/audit-log.ts";
import { ApiError } from "../http/api-error.ts";
import type { Database } from "../metadata/database.ts";
import { all, first } from "../metadata/statement.ts";
import { keyColumns, type KeyRow, viewKey } from "./account-views.ts";
import { formatKeyFile, makeKey } from "./key-files.ts";
import { addKey, changeKey } from "./manage-accounts.ts";
import { type ServiceAccount } from "./service-accounts.ts";
import { type AccountRooms, accountNeeds, method, requireFound, service } from "./account-needs.ts";

/** Keys of an account. The private half of one that is made here is in the reply, and nowhere else. */
export function keyRoutes(rooms: AccountRooms, one: string): ApiRoute[] {
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
      needs: accountNeeds(rooms)("iam.serviceAccountKeys.create"),
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
      needs: accountNeeds(rooms)("iam.serviceAccountKeys.create"),
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
