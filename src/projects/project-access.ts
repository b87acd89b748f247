import type { Access, AccessControl } from "../access/access-control.ts";
import { type ApiCall } from "../access/api-route.ts";
import { type PolicyRooms } from "../access/iam/policy-routes.ts";
import type { Permission } from "../access/permissions.ts";
import { ApiError } from "../http/api-error.ts";
import type { Database } from "../metadata/database.ts";
import { parseProjectId, type ProjectId } from "../names/reference.ts";
import { organizationResource, projectResource } from "../names/resources.ts";
import { type Project, type Projects } from "./projects.ts";

export const service = "cloudresourcemanager.googleapis.com";

export interface ResourceManagerRooms extends PolicyRooms {
  database: Database;
  projects: Projects;
  access: AccessControl;
}

export function projectAccess(project: ProjectId, permission: Permission): Access {
  return { permission, resource: projectResource(project), project };
}

export function projectNeeds(rooms: Pick<ResourceManagerRooms, "projects">) {
  return (permission: Permission) =>
    async ({ path }: ApiCall): Promise<Access[]> => {
      const named = path.project as string;
      return [projectAccess((await findProject(rooms, named))?.id ?? (named as ProjectId), permission)];
    };
}

/** By id or number. */
export async function findProject(
  { projects }: Pick<ResourceManagerRooms, "projects">,
  named: string,
): Promise<Project | undefined> {
  if (/^\d{1,20}$/.test(named)) return projects.findByNumber(named);
  const id = parseProjectId(named);
  return id === undefined ? undefined : projects.find(id);
}

export async function requireProject(
  rooms: Pick<ResourceManagerRooms, "projects">,
  { path }: ApiCall,
): Promise<Project> {
  const project = await findProject(rooms, path.project as string);
  if (project === undefined) throw new ApiError("NOT_FOUND", `The project ${path.project} does not exist.`);
  return project;
}

export function organizationNeeds(organization: string, permission: Permission): Access[] {
  return [{ permission, resource: organizationResource(organization.slice(0, 100)), project: undefined }];
}
