import { randomBytes } from "node:crypto";
import { closeSync, fsyncSync, openSync, writeSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { newEtag } from "../access/iam/etag.ts";
import { formatKeyFile, makeKey } from "../identity/key-files.ts";
import { insertServiceAccount, insertServiceAccountKey, type NewServiceAccount } from "../identity/service-accounts.ts";
import { hashPassword } from "../identity/passwords.ts";
import { insertUser } from "../identity/users.ts";
import { addSigningKey, makeSigningKey } from "../keys/signing-keys.ts";
import { command, type Database } from "../metadata/database.ts";
import { all, first, type Steps } from "../metadata/statement.ts";
import { randomDigits } from "../names/identifiers.ts";
import { serviceAccountPrincipal, userPrincipal } from "../names/principals.ts";
import type { ProjectId } from "../names/reference.ts";
import { insertOrganization } from "../projects/organizations.ts";
import { insertProject } from "../projects/projects.ts";

interface Bootstrap {
  database: Database;
  /** `https://HOST`, where clients reach this server. */
  server: string;
  keyFile: string;
  now: number;
}

const project = "my-project" as ProjectId;
const domain = "berth.local";
const consoleUser = `admin@${domain}`;

/**
 * What an empty server needs to be used: a signing key, an organisation, the project `my-project`, its owner with a
 * key file, a user for the console. Answers the user's password, which is shown once and kept nowhere; `undefined`
 * where the server is not empty. The key file is there before the project is: a crash in between is repaired by
 * starting again.
 */
export async function bootstrap({
  database,
  server,
  keyFile,
  now,
}: Bootstrap): Promise<{ user: string; password: string } | undefined> {
  if ((await database.readRow("SELECT id FROM signing_keys LIMIT 1")) === undefined) {
    await database.write(addSigningKey, await makeSigningKey(now));
  }
  const organization = { organizationId: randomDigits(12), organizationEtag: newEtag() };
  if ((await database.readRow("SELECT id FROM projects LIMIT 1")) !== undefined) {
    await database.write(completeServer, { ...organization, now });
    return undefined;
  }
  const email = `owner@${project}.iam.gserviceaccount.com`;
  const uniqueId = randomDigits(21);
  const password = randomBytes(12).toString("base64url");
  const [key, passwordHash] = await Promise.all([makeKey(), hashPassword(password)]);
  await writeSecret(keyFile, formatKeyFile(key, { project, email, uniqueId, server }));
  const isFirst = await database.write(furnishServer, {
    ...organization,
    projectNumber: randomDigits(12),
    projectEtag: newEtag(),
    account: { email, uniqueId, project, displayName: "Owner", now },
    key: { id: key.id, publicKey: key.publicKey },
    user: { uniqueId: randomDigits(21), email: consoleUser, passwordHash },
    now,
  });
  if (isFirst) return { user: consoleUser, password };
  // Another server on the same database was faster: this key is none.
  await rm(keyFile, { force: true });
  return undefined;
}

interface Furniture {
  organizationId: string;
  organizationEtag: string;
  projectNumber: string;
  projectEtag: string;
  account: NewServiceAccount;
  key: { id: string; publicKey: string };
  user: { uniqueId: string; email: string; passwordHash: string };
  now: number;
}

/** All that an empty server gets, at once. Answers whether it was empty. */
export const furnishServer = command("server.furnish", function* (input: Furniture): Steps<boolean> {
  if ((yield* first("SELECT id FROM projects LIMIT 1")) !== undefined) return false;
  const { organizationId: organization, account, user, now } = input;
  const principals = [serviceAccountPrincipal(account.email), userPrincipal(user.email)];
  const etag = input.organizationEtag;
  yield* insertOrganization({ id: organization, domain, administrators: principals, etag, now });
  yield* insertProject({
    id: project,
    number: input.projectNumber,
    displayName: "My Project",
    organization,
    owners: principals,
    etag: input.projectEtag,
    now,
  });
  yield* insertServiceAccount(account);
  yield* insertServiceAccountKey({ ...input.key, accountId: account.uniqueId, origin: "GOOGLE_PROVIDED", now });
  yield* insertUser({ ...user, now });
  return true;
});

interface Completion {
  organizationId: string;
  organizationEtag: string;
  now: number;
}

/** What a server of an earlier version lacks: an organisation, administered by the first users. */
export const completeServer = command("server.complete", function* (input: Completion) {
  if ((yield* first("SELECT id FROM organizations LIMIT 1")) !== undefined) return;
  const users = yield* all<{ email: string }>("SELECT email FROM users ORDER BY created_at LIMIT 10");
  const administrators = users.map(({ email }) => userPrincipal(email));
  const { organizationId: id, organizationEtag: etag, now } = input;
  yield* insertOrganization({ id, domain, administrators, etag, now });
});

async function writeSecret(path: string, text: string): Promise<void> {
  const temporary = `${path}.new`;
  const file = openSync(temporary, "w", 0o600);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  await rename(temporary, path);
  const directory = openSync(dirname(path), "r");
  fsyncSync(directory);
  closeSync(directory);
}
