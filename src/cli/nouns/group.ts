import type { Noun } from "../noun.ts";
import { type Column, doneResult, listResult } from "../results.ts";
import { apiPath } from "../server-client.ts";

/** Users, service accounts and groups that get rights together. */
interface Group {
  email: string;
  displayName?: string;
  description?: string;
}

const columns: Column<Group>[] = [
  ["EMAIL", ({ email }) => email],
  ["NAME", ({ displayName }) => displayName],
  ["DESCRIPTION", ({ description }) => description],
];

interface Membership {
  member: string;
  /** `local`, or who vouches for it. */
  sources: string[];
}

const memberColumns: Column<Membership>[] = [
  ["MEMBER", ({ member }) => member],
  ["FROM", ({ sources }) => sources.join(" ")],
];

export const groupNoun: Noun = {
  name: "group",
  summary: "groups of users, service accounts and other groups",
  verbs: [
    {
      name: "list",
      summary: "Lists the groups.",
      run: async (_, server) => listResult(await server.list<Group>("/berth/v1/groups", "groups"), columns),
    },
    {
      name: "create",
      summary: "Makes a group without members.",
      operands: ["EMAIL"],
      flags: [
        { name: "display-name", placeholder: "TEXT", doc: "What people call it." },
        { name: "description", placeholder: "TEXT", doc: "What it is for." },
      ],
      async run({ operands: [email], text }, server) {
        const body = { email, displayName: text("display-name"), description: text("description") };
        const made = await server.post<Group>("/berth/v1/groups", body);
        return doneResult(`made the group ${made.email}`, made);
      },
    },
    {
      name: "delete",
      summary: "Deletes a group for good; its members lose what they had through it.",
      operands: ["GROUP"],
      async run({ operands: [group = ""] }, server) {
        return doneResult(`deleted the group ${group}`, await server.remove(apiPath`/berth/v1/groups/${group}`));
      },
    },
    {
      name: "members",
      summary:
        "Lists the members of a group, and whether they were added here or by the provider they sign in through.",
      operands: ["GROUP"],
      async run({ operands: [group = ""] }, server) {
        const path = apiPath`/berth/v1/groups/${group}/members`;
        return listResult(await server.list<Membership>(path, "members"), memberColumns);
      },
    },
    ...(["add", "remove"] as const).map((change): Noun["verbs"][number] => ({
      name: `${change}-member`,
      summary: change === "add" ? "Adds a member to a group." : "Takes a member out of a group.",
      operands: ["GROUP", "MEMBER"],
      async run({ operands: [group = "", member = ""] }, server) {
        const path = apiPath`/berth/v1/groups/${group}` + `:${change}Member`;
        const reply = await server.post(path, { member });
        const text = change === "add" ? `added ${member} to ${group}` : `took ${member} out of ${group}`;
        return doneResult(text, reply);
      },
    })),
  ],
};
