import type { Flag, Input } from "./noun.ts";
import { apiPath, projectOf, type ServerClient } from "./server-client.ts";

export const accountProject: Flag = {
  name: "project",
  placeholder: "PROJECT",
  doc: "The account's project, where only the first part of its address is given; else the key file's.",
};

/** The address of the account that is written as its first part, in full, or as a unique id. */
export function accountEmail(written: string, input: Input, server: ServerClient): string {
  if (written.includes("@") || /^\d+$/.test(written)) return written;
  const [domain, id] = splitDomain(projectOf(input, server));
  return `${written}@${id}${domain === undefined ? "" : `.${domain}`}.iam.gserviceaccount.com`;
}

/** Where IAM has the account. */
export function accountPath(written: string, input: Input, server: ServerClient): string {
  return apiPath`/v1/projects/-/serviceAccounts/${accountEmail(written, input, server)}`;
}

/** `example.com:project` → `example.com`, `project` */
function splitDomain(project: string): [string | undefined, string] {
  const colon = project.indexOf(":");
  return colon < 0 ? [undefined, project] : [project.slice(0, colon), project.slice(colon + 1)];
}
