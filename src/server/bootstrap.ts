import { randomBytes, randomInt } from "node:crypto";
import { closeSync, fsyncSync, openSync, writeSync } from "node:fs";
import { rename } from "node:fs/promises";
import { dirname } from "node:path";
import { formatKeyFile, makeKey } from "../identity/key-files.ts";
import { addServiceAccountKey, createServiceAccount } from "../identity/service-accounts.ts";
import { createUser } from "../identity/users.ts";
import { addSigningKey, makeSigningKey } from "../keys/signing-keys.ts";
import type { Database } from "../metadata/database.ts";
import { serviceAccountPrincipal } from "../names/principals.ts";
import type { ProjectId } from "../names/reference.ts";
import { createProject } from "../projects/projects.ts";

interface Bootstrap {
  database: Database;
  /** `https://HOST`, where clients reach this server. */
  server: string;
  keyFile: string;
  now: number;
}

const project = "my-project" as ProjectId;
const consoleUser = "admin@berth.local";

/**
 * What an empty server needs to be used: a signing key, the project `my-project`, its owner with a key file, a user
 * for the console. Answers the user's password, which is shown once and kept nowhere; `undefined` where the server
 * is not empty. The key file is there before the project is: a crash in between is repaired by starting again.
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
  if ((await database.readRow("SELECT id FROM projects LIMIT 1")) !== undefined) return undefined;
  const email = `owner@${project}.iam.gserviceaccount.com`;
  const uniqueId = digits(21);
  const password = randomBytes(12).toString("base64url");
  const [key, passwordHash] = await Promise.all([
    makeKey(),
    Bun.password.hash(password, { algorithm: "argon2id", memoryCost: 19_456, timeCost: 2 }),
  ]);
  await writeSecret(keyFile, formatKeyFile(key, { project, email, uniqueId, server }));
  const principals = [serviceAccountPrincipal(email), `user:${consoleUser}`];
  const bindings = [{ role: "roles/owner", members: principals }];
  const etag = randomBytes(8).toString("base64");
  // One after the other, in one group of the writer: the project is what tells that all was done.
  await Promise.all([
    database.write(createProject, { id: project, number: digits(12), displayName: "My Project", bindings, etag, now }),
    database.write(createServiceAccount, { email, uniqueId, project, displayName: "Owner", now }),
    database.write(addServiceAccountKey, { id: key.id, email, publicKey: key.publicKey, now }),
    database.write(createUser, { email: consoleUser, passwordHash, now }),
  ]);
  return { user: consoleUser, password };
}

/** A number of so many digits, none of them leading zeros. */
function digits(count: number): string {
  return Array.from({ length: count }, (_, i) => randomInt(i === 0 ? 1 : 0, 10)).join("");
}

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
