import { z } from "zod";
import type { Access } from "../../access/access-control.ts";
import type { ApiCall } from "../../access/api-route.ts";
import type { Permission } from "../../access/permissions.ts";
import { ApiError } from "../../http/api-error.ts";
import { pageSizeOf } from "../../http/page-size.ts";
import type { Database } from "../../metadata/database.ts";
import type { ProjectId } from "../../names/reference.ts";
import { projectResource } from "../../names/resources.ts";

export const service = "iam.googleapis.com";
export const poolsPath = "/v1/projects/{project}/locations/global/workloadIdentityPools";
export const method = (name: string): string => `google.iam.v1.WorkloadIdentityPools.${name}`;

export interface FederationRooms {
  database: Database;
  /** A project by its id or number; `undefined` if there is none. */
  findProject(idOrNumber: string): Promise<ProjectId | undefined>;
}

type Verb = "create" | "delete" | "get" | "list" | "undelete" | "update";

/** A right on pools or providers: both are their project's. */
export function federationNeeds(rooms: FederationRooms) {
  return (kind: "Pools" | "PoolProviders", verb: Verb) =>
    async (call: ApiCall): Promise<Access[]> => {
      const permission: Permission = `iam.googleapis.com/workloadIdentity${kind}.${verb}`;
      const project = (await rooms.findProject(call.path.project as string)) ?? (call.path.project as ProjectId);
      return [{ permission, resource: projectResource(project), project }];
    };
}

/** The project of a call that was let through: so it is there. @throws ApiError NOT_FOUND */
export async function projectOf(rooms: FederationRooms, { path }: ApiCall): Promise<ProjectId> {
  const project = await rooms.findProject(path.project as string);
  if (project === undefined) throw new ApiError("NOT_FOUND", `The project ${path.project} does not exist.`);
  return project;
}

const idForm = /^[a-z](?:[a-z0-9-]{2,30}[a-z0-9])$/;

/** The id that a query gives a new pool or provider. @throws ApiError INVALID_ARGUMENT */
export function newId({ query }: ApiCall, parameter: string): string {
  const id = query.get(parameter) ?? "";
  if (!idForm.test(id) || id.startsWith("gcp-")) {
    throw new ApiError(
      "INVALID_ARGUMENT",
      `${parameter}: expected 4 to 32 lower-case letters, digits and dashes, a letter first, and not gcp- at the beginning.`,
    );
  }
  return id;
}

export const commonShape = {
  displayName: z.string().max(32).optional(),
  description: z.string().max(256).optional(),
  disabled: z.boolean().optional(),
  // What only a reply says; clients send it back.
  name: z.string().optional(),
  state: z.string().optional(),
};

/** The fields that an update names, in camel case; all of the body's where there is no mask. */
export function maskedFields({ query }: ApiCall, body: object): string[] {
  const mask = query.get("updateMask");
  if (mask === null || mask === "" || mask === "*") return Object.keys(body);
  return mask
    .split(",")
    .map((field) => field.trim().replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()));
}

/** The columns that change of what pools and providers have alike. */
export function commonChange(
  fields: readonly string[],
  {
    displayName,
    description,
    disabled,
  }: { displayName?: string | undefined; description?: string | undefined; disabled?: boolean | undefined },
) {
  return {
    ...(fields.includes("displayName") && { display_name: displayName ?? "" }),
    ...(fields.includes("description") && { description: description ?? "" }),
    ...(fields.includes("disabled") && { disabled: disabled === true ? 1 : 0 }),
  };
}

const largestPage = 100;

export function pageRequest({ query }: ApiCall): { after: string; size: number; showDeleted: boolean } {
  const size = pageSizeOf(query, { usual: largestPage, largest: largestPage });
  const after = Buffer.from(query.get("pageToken") ?? "", "base64url").toString("utf8");
  return { after, size, showDeleted: query.get("showDeleted") === "true" };
}

/** What was asked for and the token of the rest, of a list with one more than the page's size. */
export function pageReply<T>(
  found: readonly T[],
  size: number,
  name: string,
  view: (item: T) => object,
  id: (item: T) => string,
) {
  const shown = found.slice(0, size);
  const last = shown.at(-1);
  return {
    ...(shown.length > 0 && { [name]: shown.map(view) }),
    ...(found.length > size && last !== undefined && { nextPageToken: Buffer.from(id(last)).toString("base64url") }),
  };
}

/** A long-running operation that is over: what changes here changes at once. [google.longrunning.Operation] */
export function doneOperation(parent: string, kind: string, view: object): object {
  const response = { "@type": `type.googleapis.com/google.iam.v1.${kind}`, ...view };
  return { name: `${parent}/operations/done`, done: true, response };
}

export function lifecycle({ deletedAt, disabled }: { deletedAt: number | undefined; disabled: boolean }, days: number) {
  return {
    state: deletedAt === undefined ? "ACTIVE" : "DELETED",
    ...(disabled && { disabled }),
    ...(deletedAt !== undefined && { expireTime: new Date(deletedAt + days * 24 * 3600_000).toISOString() }),
  };
}
