import { accountEmail, accountPath, accountProject } from "../account-path.ts";
import { UsageError } from "../command.ts";
import type { Flag, Noun } from "../noun.ts";
import { type Column, doneResult, itemResult, listResult } from "../results.ts";
import { apiPath, projectOf } from "../server-client.ts";

/** [IAM, REST resource projects.serviceAccounts] */
interface ServiceAccount {
  email: string;
  uniqueId: string;
  displayName?: string;
  disabled?: boolean;
}

const columns: Column<ServiceAccount>[] = [
  ["EMAIL", ({ email }) => email],
  ["NAME", ({ displayName }) => displayName],
  ["UNIQUE ID", ({ uniqueId }) => uniqueId],
  ["STATE", ({ disabled }) => (disabled === true ? "disabled" : "enabled")],
];

const projectFlag: Flag = { name: "project", placeholder: "PROJECT", doc: "The project; else the key file's." };

export const serviceAccountNoun: Noun = {
  name: "service-account",
  summary: "service accounts: what programs sign in as",
  verbs: [
    {
      name: "list",
      summary: "Lists the service accounts of a project.",
      flags: [projectFlag],
      async run(input, server) {
        const path = apiPath`/v1/projects/${projectOf(input, server)}/serviceAccounts`;
        return listResult(await server.list<ServiceAccount>(path, "accounts"), columns);
      },
    },
    {
      name: "create",
      summary: "Makes the service account NAME@PROJECT.iam.gserviceaccount.com, with no rights and no key.",
      operands: ["NAME"],
      flags: [
        projectFlag,
        { name: "display-name", placeholder: "TEXT", doc: "What people call it." },
        { name: "description", placeholder: "TEXT", doc: "What it is for." },
      ],
      async run(input, server) {
        const [accountId] = input.operands;
        const serviceAccount = { displayName: input.text("display-name"), description: input.text("description") };
        const path = apiPath`/v1/projects/${projectOf(input, server)}/serviceAccounts`;
        const made = await server.post<ServiceAccount>(path, { accountId, serviceAccount });
        return doneResult(`made the service account ${made.email}`, made);
      },
    },
    {
      name: "describe",
      summary: "Shows a service account.",
      operands: ["ACCOUNT"],
      flags: [accountProject],
      async run(input, server) {
        const [account = ""] = input.operands;
        return itemResult(await server.get<ServiceAccount>(accountPath(account, input, server)));
      },
    },
    {
      name: "update",
      summary: "Changes what a service account is called, or what it is said to be for.",
      operands: ["ACCOUNT"],
      flags: [
        accountProject,
        { name: "display-name", placeholder: "TEXT", doc: "What people call it." },
        { name: "description", placeholder: "TEXT", doc: "What it is for." },
      ],
      async run(input, server) {
        const [account = ""] = input.operands;
        const serviceAccount = { displayName: input.text("display-name"), description: input.text("description") };
        const fields = Object.entries(serviceAccount).flatMap(([field, value]) => (value === undefined ? [] : field));
        if (fields.length === 0) {
          throw new UsageError("nothing is to be changed: give --display-name or --description");
        }
        const body = { serviceAccount, updateMask: fields.join(",") };
        const changed = await server.patch<ServiceAccount>(accountPath(account, input, server), body);
        return doneResult(`changed the service account ${accountEmail(account, input, server)}`, changed);
      },
    },
    ...(["enable", "disable"] as const).map((name): Noun["verbs"][number] => ({
      name,
      summary:
        name === "enable"
          ? "Lets a service account sign in again."
          : "Keeps a service account from signing in; its keys and rights stay.",
      operands: ["ACCOUNT"],
      flags: [accountProject],
      async run(input, server) {
        const [account = ""] = input.operands;
        const reply = await server.post(`${accountPath(account, input, server)}:${name}`);
        return doneResult(`${name}d the service account ${accountEmail(account, input, server)}`, reply);
      },
    })),
    {
      name: "delete",
      summary: "Deletes a service account. For 30 days its unique id brings it back.",
      operands: ["ACCOUNT"],
      flags: [accountProject],
      async run(input, server) {
        const [account = ""] = input.operands;
        const path = accountPath(account, input, server);
        // The address may be another account's soon; the unique id is needed to undo this.
        const { email, uniqueId } = await server.get<ServiceAccount>(path);
        await server.remove(apiPath`/v1/projects/-/serviceAccounts/${uniqueId}`);
        const undo = `berth service-account undelete ${uniqueId}`;
        return doneResult(`deleted the service account ${email}; for 30 days, \`${undo}\` brings it back`, {
          email,
          uniqueId,
        });
      },
    },
    {
      name: "undelete",
      summary: "Brings a deleted service account back, with its keys and rights.",
      operands: ["UNIQUE-ID"],
      async run({ operands: [uniqueId = ""] }, server) {
        const path = apiPath`/v1/projects/-/serviceAccounts/${uniqueId}:undelete`;
        const { restoredAccount } = await server.post<{ restoredAccount: ServiceAccount }>(path);
        return doneResult(`brought back the service account ${restoredAccount.email}`, restoredAccount);
      },
    },
  ],
};
