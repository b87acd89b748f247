import { readFileSync } from "node:fs";
import { CommandFailure } from "../command.ts";
import { accountEmail, accountPath, accountProject } from "../account-path.ts";
import type { Noun } from "../noun.ts";
import { type Column, doneResult, listResult } from "../results.ts";
import { createSecretFile } from "../secret-file.ts";
import { apiPath } from "../server-client.ts";

/** [IAM, REST resource projects.serviceAccounts.keys] */
interface Key {
  name: string;
  validAfterTime: string;
  validBeforeTime: string;
  keyOrigin: string;
  disabled?: boolean;
}

/** @throws CommandFailure */
function readFile(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new CommandFailure((error as Error).message);
  }
}

const idOf = ({ name }: Key): string => name.slice(name.lastIndexOf("/") + 1);

const columns: Column<Key>[] = [
  ["KEY", idOf],
  ["CREATED", ({ validAfterTime }) => validAfterTime],
  ["EXPIRES", ({ validBeforeTime }) => (validBeforeTime.startsWith("9999") ? "never" : validBeforeTime)],
  ["ORIGIN", ({ keyOrigin }) => keyOrigin],
  ["STATE", ({ disabled }) => (disabled === true ? "disabled" : "enabled")],
];

const done = { enable: "enabled", disable: "disabled", delete: "deleted" } as const;
const summaries = {
  enable: "Lets a key be used again.",
  disable: "Keeps a key from being used; so are the tokens that it got.",
  delete: "Deletes a key for good.",
};

export const keyNoun: Noun = {
  name: "key",
  summary: "keys of service accounts: files that programs sign in with",
  verbs: [
    {
      name: "list",
      summary: "Lists the keys of a service account that people hold.",
      operands: ["ACCOUNT"],
      flags: [accountProject],
      async run(input, server) {
        const [account = ""] = input.operands;
        const path = `${accountPath(account, input, server)}/keys`;
        return listResult(await server.list<Key>(path, "keys", { keyTypes: "USER_MANAGED" }), columns);
      },
    },
    {
      name: "create",
      summary: "Makes a key and writes its file, that only you can read: the server keeps no copy.",
      operands: ["ACCOUNT", "FILE"],
      flags: [accountProject],
      async run(input, server) {
        const [account = "", path = ""] = input.operands;
        const url = `${accountPath(account, input, server)}/keys`;
        const file = createSecretFile(path);
        let made: string | undefined;
        try {
          const { privateKeyData, ...key } = await server.post<Key & { privateKeyData: string }>(url);
          made = key.name;
          file.write(Buffer.from(privateKeyData, "base64"));
          const text = `made the key ${idOf(key)} of ${accountEmail(account, input, server)}: ${path}`;
          return doneResult(text, { ...key, file: path });
        } catch (error) {
          file.discard();
          // Nobody holds its private half.
          if (made !== undefined) await server.remove(`/v1/${made}`);
          throw error;
        }
      },
    },
    {
      name: "upload",
      summary: "Registers the public half of a key that was made elsewhere: a certificate in PEM.",
      operands: ["ACCOUNT", "FILE"],
      flags: [accountProject],
      async run(input, server) {
        const [account = "", path = ""] = input.operands;
        const url = `${accountPath(account, input, server)}/keys:upload`;
        const publicKeyData = readFile(path).toString("base64");
        const key = await server.post<Key>(url, { publicKeyData });
        return doneResult(`registered the key ${idOf(key)} of ${accountEmail(account, input, server)}`, key);
      },
    },
    ...(["enable", "disable", "delete"] as const).map((name): Noun["verbs"][number] => ({
      name,
      summary: summaries[name],
      operands: ["ACCOUNT", "KEY"],
      flags: [accountProject],
      async run(input, server) {
        const [account = "", key = ""] = input.operands;
        const path = accountPath(account, input, server) + apiPath`/keys/${key}`;
        const reply = name === "delete" ? await server.remove(path) : await server.post(`${path}:${name}`);
        return doneResult(`${done[name]} the key ${key} of ${accountEmail(account, input, server)}`, reply);
      },
    })),
  ],
};
