import type { Berth } from "./berth.ts";

/** A service account with a key, made through the IAM API. */
export interface Account {
  email: string;
  /** Content of its key file. */
  key: string;
}

/** Makes a service account with a key and no rights. */
export async function makeAccount(berth: Berth, name: string, project = "my-project"): Promise<Account> {
  const accounts = `/v1/projects/${project}/serviceAccounts`;
  const { email } = await post<{ email: string }>(berth, accounts, { accountId: name });
  const { privateKeyData } = await post<{ privateKeyData: string }>(berth, `${accounts}/${email}/keys`, {});
  return { email, key: Buffer.from(privateKeyData, "base64").toString("utf8") };
}

async function post<T>(berth: Berth, path: string, body: object): Promise<T> {
  const headers = { "content-type": "application/json" };
  const reply = await berth.fetch(path, { method: "POST", body: JSON.stringify(body), headers });
  if (!reply.ok) throw new Error(`POST ${path}: ${reply.status} ${await reply.text()}`);
  return (await reply.json()) as T;
}
