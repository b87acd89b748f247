import { generateKeyPairSync, randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { type Berth, type BerthOptions, startBerth } from "./berth.ts";
import { openMetadata, type MetadataHandle } from "./metadata.ts";

/** The owner that the first start makes. */
export const adminEmail = "owner@my-project.iam.gserviceaccount.com";

/** A project beside `my-project`, and who owns it. */
export interface Tenant {
  /** Such as `other-project` or `example.com:proj`. */
  project: string;
  /** E-mail addresses of service accounts; those that do not exist are made, in this project. */
  owners: string[];
}

/** A server with more than one project and principal. */
export interface TenantServer extends Berth {
  /** Key files by the e-mail address of the accounts that were made. */
  keys: ReadonlyMap<string, string>;
}

/**
 * Starts a server whose data holds the given projects. They are written into the database of a server that has
 * stopped: the interfaces that make projects come later than this suite.
 */
export async function startWithTenants(tenants: readonly Tenant[], options: BerthOptions = {}): Promise<TenantServer> {
  const first = await startBerth(options);
  const { data } = first;
  await first.terminate();
  const keys = addTenants(data, tenants);
  const berth = await startBerth({ ...options, data });
  const stop = async (): Promise<void> => {
    await berth.stop();
    rmSync(data, { recursive: true, force: true });
  };
  return { ...berth, keys, stop };
}

function addTenants(data: string, tenants: readonly Tenant[]): Map<string, string> {
  const database = openMetadata(data);
  const keys = new Map<string, string>();
  const now = Date.now();
  try {
    for (const { project, owners } of tenants) {
      const number = `9${randomBytes(5).readUIntBE(0, 5) % 1e11}`.padEnd(12, "0");
      database.run("INSERT INTO projects (id, number, display_name, created_at) VALUES (?, ?, ?, ?)", [
        project,
        number,
        project,
        now,
      ]);
      for (const email of owners) {
        if (email !== adminEmail && !keys.has(email)) keys.set(email, addAccount(database, project, email));
      }
      const bindings = [{ role: "roles/owner", members: owners.map((email) => `serviceAccount:${email}`) }];
      const resource = `//cloudresourcemanager.googleapis.com/projects/${project}`;
      database.run("INSERT INTO policies (resource, etag, bindings) VALUES (?, ?, ?)", [
        resource,
        "ACAB",
        JSON.stringify(bindings),
      ]);
    }
    database.run("UPDATE versions SET value = value + 1");
  } finally {
    database.close();
  }
  return keys;
}

/** Makes a service account with a key; answers the key file. */
function addAccount(database: MetadataHandle, project: string, email: string): string {
  const now = Date.now();
  const id = randomBytes(20).toString("hex");
  const uniqueId = `1${BigInt(`0x${id.slice(0, 16)}`)}`;
  const pair = generateKeyPairSync("ec", {
    namedCurve: "P-256",
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
  database.run(
    "INSERT INTO service_accounts (email, unique_id, project_id, display_name, created_at) VALUES (?, ?, ?, ?, ?)",
    [email, uniqueId, project, email, now],
  );
  database.run(
    "INSERT INTO service_account_keys (id, account_id, public_key, origin, created_at) VALUES (?, ?, ?, ?, ?)",
    [id, uniqueId, pair.publicKey, "GOOGLE_PROVIDED", now],
  );
  const type = "service_account";
  return JSON.stringify({ type, private_key_id: id, private_key: pair.privateKey, client_email: email });
}
