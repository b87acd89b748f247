import { UsageError } from "../command.ts";
import type { Flag, Input, Noun } from "../noun.ts";
import { eitherScope, organizationId } from "../organization.ts";
import { readModifyWrite } from "../read-modify-write.ts";
import { type Column, doneResult, itemResult, listResult } from "../results.ts";
import { apiPath, projectOf, type ServerClient } from "../server-client.ts";

/** [IAM, REST resource roles] */
interface Role {
  name: string;
  title?: string;
  stage?: string;
  etag?: string;
  includedPermissions?: string[];
  deleted?: boolean;
}

const columns: Column<Role>[] = [
  ["ROLE", ({ name }) => name],
  ["TITLE", ({ title }) => title],
  ["STAGE", ({ stage, deleted }) => (deleted === true ? "deleted" : stage)],
];

const parentFlags: readonly Flag[] = eitherScope(
  "The project that the role is of; else the key file's.",
  "The role is the organization's; without an id, the server's only one's.",
);

const contentFlags: readonly Flag[] = [
  { name: "title", placeholder: "TEXT", doc: "What it is called." },
  { name: "description", placeholder: "TEXT", doc: "What it is for.", mayBeEmpty: true },
  { name: "stage", placeholder: "STAGE", doc: "`ALPHA`, `BETA`, `GA`, `DEPRECATED`, `DISABLED` or `EAP`." },
];

const permissions = (name: string, doc: string): Flag => ({
  name,
  placeholder: "PERMISSION,…",
  doc,
  isMultiple: true,
});

export const roleNoun: Noun = {
  name: "role",
  summary: "roles: permissions that are given together",
  verbs: [
    {
      name: "list",
      summary: "Lists the predefined roles, or the custom ones of a project or of the organization.",
      flags: [
        ...eitherScope("The custom roles of this project.", "The custom roles of the organization."),
        { name: "deleted", doc: "Those that are deleted too." },
      ],
      async run(input, server) {
        const isCustom = input.has("project") || input.has("organization");
        const path = isCustom ? `/v1/${await parentOf(input, server)}/roles` : "/v1/roles";
        const query = { showDeleted: input.has("deleted") && isCustom ? "true" : undefined };
        return listResult(await server.list<Role>(path, "roles", query), columns);
      },
    },
    {
      name: "describe",
      summary: "Shows a role with its permissions.",
      operands: ["ROLE"],
      flags: parentFlags,
      async run(input, server) {
        return itemResult(await server.get<Role>(await rolePath(input, server)));
      },
    },
    {
      name: "create",
      summary: "Makes a custom role.",
      operands: ["ID"],
      flags: [...parentFlags, ...contentFlags, permissions("permissions", "What it permits.")],
      async run(input, server) {
        const [roleId] = input.operands;
        const body = { roleId, role: contentOf(input) };
        const made = await server.post<Role>(`/v1/${await parentOf(input, server)}/roles`, body);
        return doneResult(`made the role ${made.name}`, made);
      },
    },
    {
      name: "update",
      summary: "Changes a custom role: what is not named stays as it is.",
      operands: ["ROLE"],
      flags: [
        ...parentFlags,
        ...contentFlags,
        permissions("permissions", "All that it permits from now on."),
        permissions("add-permissions", "What it permits besides."),
        permissions("remove-permissions", "What it does not permit any more."),
      ],
      async run(input, server) {
        const path = await rolePath(input, server);
        const role = await readModifyWrite(() => updateRole(path, input, server));
        return doneResult(`changed the role ${role.name}`, role);
      },
    },
    {
      name: "delete",
      summary: "Deletes a custom role. It can be brought back; until then it gives nothing.",
      operands: ["ROLE"],
      flags: parentFlags,
      async run(input, server) {
        const role = await server.remove<Role>(await rolePath(input, server));
        return doneResult(`deleted the role ${role.name}`, role);
      },
    },
    {
      name: "undelete",
      summary: "Brings a deleted custom role back.",
      operands: ["ROLE"],
      flags: parentFlags,
      async run(input, server) {
        const role = await server.post<Role>(`${await rolePath(input, server)}:undelete`);
        return doneResult(`brought back the role ${role.name}`, role);
      },
    },
  ],
};

/** `projects/P` or `organizations/O`, ready for a path. */
async function parentOf(input: Input, server: ServerClient): Promise<string> {
  const organization = input.text("organization");
  return organization === undefined
    ? apiPath`projects/${projectOf(input, server)}`
    : apiPath`organizations/${await organizationId(server, organization)}`;
}

/** A role is written as policies name it, or as its id alone. */
async function rolePath(input: Input, server: ServerClient): Promise<string> {
  const [role = ""] = input.operands;
  const full = /^(?:(projects|organizations)\/([^/]+)\/)?roles\/([^/]+)$/.exec(role);
  if (full === null) return `/v1/${await parentOf(input, server)}${apiPath`/roles/${role}`}`;
  const [, kind, parent = "", id = ""] = full;
  return kind === undefined ? apiPath`/v1/roles/${id}` : apiPath`/v1/${kind}/${parent}/roles/${id}`;
}

function listOf({ has, texts }: Input, flag: string): string[] | undefined {
  return has(flag) ? texts(flag).flatMap((text) => text.split(",").filter((each) => each !== "")) : undefined;
}

function contentOf(input: Input): object {
  const content = {
    title: input.text("title"),
    description: input.text("description"),
    stage: input.text("stage")?.toUpperCase(),
    includedPermissions: listOf(input, "permissions"),
  };
  return Object.fromEntries(Object.entries(content).filter(([, value]) => value !== undefined));
}

async function updateRole(path: string, input: Input, server: ServerClient): Promise<Role> {
  const [added = [], removed = []] = [listOf(input, "add-permissions"), listOf(input, "remove-permissions")];
  const content = contentOf(input);
  const changesSome = added.length + removed.length > 0;
  if (changesSome && input.has("permissions")) {
    throw new UsageError("give --permissions, or --add-permissions and --remove-permissions");
  }
  if (!changesSome && Object.keys(content).length === 0) throw new UsageError("say what to change");
  const { etag, includedPermissions = [] } = await server.get<Role>(path);
  const all = new Set([...includedPermissions, ...added]).difference(new Set(removed));
  const change = changesSome ? { ...content, includedPermissions: [...all] } : content;
  return server.patch(path, { ...change, etag }, { updateMask: Object.keys(change).join(",") });
}
