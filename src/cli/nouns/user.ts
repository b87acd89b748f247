import type { Flag, Noun, Result } from "../noun.ts";
import { readSecret } from "../read-secret.ts";
import { type Column, doneResult, itemResult, listResult } from "../results.ts";
import { apiPath } from "../server-client.ts";

/** Somebody who signs in at the server. */
interface User {
  email: string;
  uniqueId: string;
  displayName?: string;
  issuer?: string;
  disabled?: boolean;
  createTime: string;
}

const columns: Column<User>[] = [
  ["EMAIL", ({ email }) => email],
  ["NAME", ({ displayName }) => displayName],
  ["SIGNS IN", ({ issuer }) => issuer ?? "with a password"],
  ["STATE", ({ disabled }) => (disabled === true ? "disabled" : "enabled")],
];

const passwordFlag: Flag = {
  name: "password-stdin",
  doc: "Takes the password from standard input, or asks for it on a terminal; else one is made and shown once.",
};

/** @param password one that the server made; it is shown here and nowhere again */
function withPassword(text: string, reply: { password?: string }): Result {
  const { password } = reply;
  return doneResult(password === undefined ? text : `${text}\npassword (shown only now): ${password}`, reply);
}

export const userNoun: Noun = {
  name: "user",
  summary: "users: people who sign in",
  verbs: [
    {
      name: "list",
      summary: "Lists the users.",
      run: async (_, server) => listResult(await server.list<User>("/berth/v1/users", "users"), columns),
    },
    {
      name: "create",
      summary: "Makes a user who signs in with a password.",
      operands: ["EMAIL"],
      flags: [{ name: "display-name", placeholder: "TEXT", doc: "What people call the user." }, passwordFlag],
      async run({ operands: [email = ""], text, has }, server) {
        const password = has("password-stdin") ? await readSecret(`Password of ${email}`) : undefined;
        const body = { email, displayName: text("display-name"), password };
        const made = await server.post<User & { password?: string }>("/berth/v1/users", body);
        return withPassword(`made the user ${made.email}`, made);
      },
    },
    {
      name: "describe",
      summary: "Shows a user.",
      operands: ["EMAIL"],
      run: async ({ operands: [email = ""] }, server) =>
        itemResult(await server.get<User>(apiPath`/berth/v1/users/${email}`)),
    },
    ...(["disable", "enable"] as const).map((name): Noun["verbs"][number] => ({
      name,
      summary:
        name === "disable"
          ? "Keeps a user from signing in, and ends what they are signed in with for good."
          : "Lets a user sign in again.",
      operands: ["EMAIL"],
      async run({ operands: [email = ""] }, server) {
        const body = { disabled: name === "disable" };
        const user = await server.patch<User>(apiPath`/berth/v1/users/${email}`, body);
        return doneResult(`${name}d the user ${user.email}`, user);
      },
    })),
    {
      name: "delete",
      summary: "Deletes a user for good, with their roles.",
      operands: ["EMAIL"],
      async run({ operands: [email = ""] }, server) {
        return doneResult(`deleted the user ${email}`, await server.remove(apiPath`/berth/v1/users/${email}`));
      },
    },
    {
      name: "set-password",
      summary: "Gives a user a new password, and ends what they are signed in with.",
      operands: ["EMAIL"],
      flags: [passwordFlag],
      async run({ operands: [email = ""], has }, server) {
        const password = has("password-stdin") ? await readSecret(`New password of ${email}`) : undefined;
        const path = apiPath`/berth/v1/users/${email}:setPassword`;
        return withPassword(`changed the password of ${email}`, await server.post(path, { password }));
      },
    },
  ],
};
