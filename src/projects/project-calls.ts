import { z } from "zod";
import type { Access } from "../access/access-control.ts";
import { type ApiCall, requireGrant } from "../access/api-route.ts";
import { actorOf } from "../access/audit/audit-log.ts";
import { newEtag } from "../access/iam/etag.ts";
import { ApiError } from "../http/api-error.ts";
import { pageSizeOf } from "../http/page-size.ts";
import { all } from "../metadata/statement.ts";
import { randomDigits } from "../names/identifiers.ts";
import { parseProjectId, type ProjectId } from "../names/reference.ts";
import { isReservedProject } from "../names/reserved-projects.ts";
import { organizationResource } from "../names/resources.ts";
import { parseProjectFilter } from "./project-filter.ts";
import { createProject, type Project, projectColumns, projectFromRow } from "./projects.ts";
import { type ResourceManagerRooms, projectAccess } from "./project-access.ts";

/** [Resource Manager, "Project", projectId] */
export const projectIdShape = z
  .string()
  .regex(
    /^(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$/,
    "expected 6 to 30 lower-case letters, digits and dashes, a letter first, after a domain and a colon or alone",
  )
  .refine((id) => parseProjectId(id) !== undefined, "expected an id that is part of an image's name")
  .refine((id) => !isReservedProject(id), "expected another id: this one is reserved")
  .transform((id) => id as ProjectId);

export const labels = z
  .record(z.string().regex(/^[a-z][a-z0-9_-]{0,62}$/, "label keys are lower-case"), z.string().max(63))
  .refine((map) => Object.keys(map).length <= 64, "a project has at most 64 labels");

export const displayName = z.string().max(100);

/** Everything is done before the reply: the operation's name says only whose it was. */
export function operation(name: string, response: object): object {
  return { name: `operations/${name}`, done: true, response };
}

export async function projectOfOperation(
  { projects }: ResourceManagerRooms,
  name: string,
): Promise<Project | undefined> {
  const number = /^(?:cp|up|pd|pu)\.(\d{1,20})$/.exec(name)?.[1];
  return number === undefined ? undefined : projects.findByNumber(number);
}

export async function creationNeeds({ projects }: ResourceManagerRooms, parent: string | undefined): Promise<Access[]> {
  const organization = parent ?? (await projects.organization());
  const resource = organizationResource(organization.slice(0, 100));
  return [{ permission: "resourcemanager.projects.create", resource, project: undefined }];
}

export async function create(
  { database, projects }: ResourceManagerRooms,
  project: { id: ProjectId; displayName: string; labels: Record<string, string> },
  grant: Parameters<typeof requireGrant>[0],
  now: number,
): Promise<Project> {
  const actor = actorOf(requireGrant(grant));
  const organization = await projects.organization();
  const number = randomDigits(12);
  const input = { ...project, number, organization, owners: [actor.principal], etag: newEtag(), actor, now };
  if (!(await database.write(createProject, input))) {
    throw new ApiError("ALREADY_EXISTS", `Requested entity already exists: the project id ${project.id} is taken.`);
  }
  return {
    ...project,
    number,
    organization,
    createdAt: now,
    credentialsSince: 0,
    updatedAt: now,
    deleteRequestedAt: undefined,
  };
}

interface Page {
  projects: Project[];
  next: string | undefined;
}

const maxPage = 500;

/** The projects that the caller may see and the filter lets through, in the order of their ids. */
export async function listProjects(
  { database, access }: ResourceManagerRooms,
  call: ApiCall,
  filter: string,
): Promise<Page> {
  const test = parseProjectFilter(filter);
  const size = pageSizeOf(call.query, { usual: maxPage, largest: maxPage });
  let after = Buffer.from(call.query.get("pageToken") ?? "", "base64url").toString("utf8");
  const projects: Project[] = [];
  for (;;) {
    const rows = await database.read(
      all<Parameters<typeof projectFromRow>[0]>(
        `SELECT ${projectColumns} FROM projects WHERE id > ? ORDER BY id LIMIT ?`,
        after,
        maxPage,
      ),
    );
    for (const project of rows.map(projectFromRow)) {
      if (projects.length === size) return { projects, next: projects.at(-1)?.id };
      const isVisible =
        test(project) &&
        (await access.isAllowed(call.caller, projectAccess(project.id, "resourcemanager.projects.get")));
      if (isVisible) projects.push(project);
    }
    if (rows.length < maxPage) return { projects, next: undefined };
    after = rows.at(-1)?.id ?? "";
  }
}

export function pageOf({ projects, next }: Page, view: (project: Project) => object): object {
  return {
    ...(projects.length > 0 && { projects: projects.map(view) }),
    ...(next !== undefined && { nextPageToken: Buffer.from(next).toString("base64url") }),
  };
}
