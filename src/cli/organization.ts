import { CommandFailure } from "./command.ts";
import type { Flag } from "./noun.ts";
import type { ServerClient } from "./server-client.ts";

export const organizationFlag: Flag = {
  name: "organization",
  placeholder: "[ID]",
  doc: "The organization; without an id the server's only one.",
  optionalValue: /^\d+$/,
};

/** Flags for what is a project's or the organisation's. @param ofProject, ofOrganization their docs */
export function eitherScope(ofProject: string, ofOrganization: string): readonly Flag[] {
  return [
    { name: "project", placeholder: "PROJECT", doc: ofProject, alternative: "optional" },
    { ...organizationFlag, doc: ofOrganization, alternative: "optional" },
  ];
}

/** @param id as given with `--organization`; empty for the server's own */
export async function organizationId(server: ServerClient, id: string): Promise<string> {
  if (id !== "") return id;
  const found = await server.list<{ name: string }>("/v3/organizations:search", "organizations");
  const [first] = found;
  if (first === undefined) throw new CommandFailure("you may see no organization: write its id, --organization ID");
  return first.name.replace("organizations/", "");
}
