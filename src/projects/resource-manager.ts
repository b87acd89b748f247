import { z } from "zod";
import type { Access, AccessControl } from "../access/access-control.ts";
import { type ApiCall, type ApiRoute, apiRoute, requireGrant } from "../access/api-route.ts";
import { actorOf } from "../access/audit/audit-log.ts";
import { newEtag } from "../access/iam/etag.ts";
import { type PolicyKind, policyRoutes, type PolicyRooms } from "../access/iam/policy-routes.ts";
import type { Permission } from "../access/permissions.ts";
import { ApiError } from "../http/api-error.ts";
import type { Database } from "../metadata/database.ts";
import { all } from "../metadata/statement.ts";
import { randomDigits } from "../names/identifiers.ts";
import { parseProjectId, type ProjectId } from "../names/reference.ts";
import { organizationResource, projectResource } from "../names/resources.ts";
import { deleteProject, undeleteProject, updateProject } from "./project-commands.ts";
import { parseProjectFilter } from "./project-filter.ts";
import { viewProjectV1, viewProjectV3 } from "./project-views.ts";
import { createProject, type Project, projectColumns, projectFromRow, type Projects } from "./projects.ts";

const service = "cloudresourcemanager.googleapis.com";

export interface ResourceManagerRooms extends PolicyRooms {
  database: Database;
  projects: Projects;
  access: AccessControl;
}

/** [Resource Manager, "Project", projectId] */
const projectIdShape = z
  .string()
  .regex(
    /^(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$/,
    "expected 6 to 30 lower-case letters, digits and dashes, a letter first, after a domain and a colon or alone",
  )
  .refine((id) => parseProjectId(id) !== undefined, "expected an id that is part of an image's name")
  .transform((id) => id as ProjectId);

const labels = z
  .record(z.string().regex(/^[a-z][a-z0-9_-]{0,62}$/, "label keys are lower-case"), z.string().max(63))
  .refine((map) => Object.keys(map).length <= 64, "a project has at most 64 labels");
const displayName = z.string().max(100);
const parentV1 = z.looseObject({ type: z.string().optional(), id: z.string().optional() });

/** Projects and the organisation. [Resource Manager API v1 and v3] */
export function resourceManagerRoutes(rooms: ResourceManagerRooms): ApiRoute[] {
  return [...versionOne(rooms), ...versionThree(rooms), ...organizationRoutes(rooms), ...policies(rooms)];
}

function versionOne(rooms: ResourceManagerRooms): ApiRoute[] {
  const { database } = rooms;
  const id = (name: string): string => `google.cloud.resourcemanager.v1.Projects.${name}`;
  const on = projectNeeds(rooms);
  return [
    apiRoute({
      id: id("CreateProject"),
      service,
      method: "POST",
      path: "/v1/projects",
      body: z.looseObject({
        projectId: projectIdShape,
        name: displayName.optional(),
        labels: labels.optional(),
        parent: parentV1.optional(),
      }),
      needs: (call) => creationNeeds(rooms, call.body.parent?.id),
      async handle({ body, now }, grant) {
        const { projectId, name, labels: given } = body;
        const project = await create(
          rooms,
          { id: projectId, displayName: name ?? projectId, labels: given ?? {} },
          grant,
          now,
        );
        return operation(`cp.${project.number}`, { "@type": typeV1, ...viewProjectV1(project) });
      },
    }),
    apiRoute({
      id: id("GetOperation"),
      service,
      method: "GET",
      path: "/v1/operations/{operation}",
      needs: async ({ path }) => {
        const project = await projectOfOperation(rooms, path.operation as string);
        return [projectAccess(project?.id ?? ("" as ProjectId), "resourcemanager.projects.get")];
      },
      async handle({ path }) {
        const project = await projectOfOperation(rooms, path.operation as string);
        if (project === undefined) throw new ApiError("NOT_FOUND", "The operation does not exist.");
        return operation(path.operation as string, { "@type": typeV1, ...viewProjectV1(project) });
      },
    }),
    apiRoute({
      id: id("ListProjects"),
      service,
      method: "GET",
      path: "/v1/projects",
      needs: () => "somebody",
      async handle(call) {
        const page = await listProjects(rooms, call, call.query.get("filter") ?? "");
        return pageOf(page, viewProjectV1);
      },
    }),
    apiRoute({
      id: id("GetProject"),
      service,
      method: "GET",
      path: "/v1/projects/{project}",
      needs: on("resourcemanager.projects.get"),
      handle: async (call) => viewProjectV1(await requireProject(rooms, call)),
    }),
    apiRoute({
      id: id("UpdateProject"),
      service,
      method: "PUT",
      path: "/v1/projects/{project}",
      body: z.looseObject({ name: displayName.optional(), labels: labels.optional() }),
      needs: on("resourcemanager.projects.update"),
      async handle(call, grant) {
        const { id: projectId } = await requireProject(rooms, call);
        const { name, labels: given } = call.body;
        const change = { id: projectId, labels: given ?? {}, ...(name !== undefined && { displayName: name }) };
        return viewProjectV1(
          await database.write(updateProject, { ...change, actor: actorOf(requireGrant(grant)), now: call.now }),
        );
      },
    }),
    apiRoute({
      id: id("GetAncestry"),
      service,
      method: "POST",
      path: "/v1/projects/{project}:getAncestry",
      body: z.looseObject({}),
      needs: on("resourcemanager.projects.get"),
      async handle(call) {
        const project = await requireProject(rooms, call);
        const resourceIds = [
          { type: "project", id: project.id },
          { type: "organization", id: project.organization },
        ];
        return { ancestor: resourceIds.map((resourceId) => ({ resourceId })) };
      },
    }),
    apiRoute({
      id: id("DeleteProject"),
      service,
      method: "DELETE",
      path: "/v1/projects/{project}",
      needs: on("resourcemanager.projects.delete"),
      async handle(call, grant) {
        const { id: projectId } = await requireProject(rooms, call);
        await database.write(deleteProject, { id: projectId, actor: actorOf(requireGrant(grant)), now: call.now });
        return {};
      },
    }),
    apiRoute({
      id: id("UndeleteProject"),
      service,
      method: "POST",
      path: "/v1/projects/{project}:undelete",
      body: z.looseObject({}),
      needs: on("resourcemanager.projects.undelete"),
      async handle(call, grant) {
        const { id: projectId } = await requireProject(rooms, call);
        await database.write(undeleteProject, { id: projectId, actor: actorOf(requireGrant(grant)), now: call.now });
        return {};
      },
    }),
  ];
}

function versionThree(rooms: ResourceManagerRooms): ApiRoute[] {
  const { database } = rooms;
  const id = (name: string): string => `google.cloud.resourcemanager.v3.Projects.${name}`;
  const on = projectNeeds(rooms);
  const answer = (prefix: string, project: Project): object =>
    operation(`${prefix}.${project.number}`, { "@type": typeV3, ...viewProjectV3(project) });
  return [
    apiRoute({
      id: id("CreateProject"),
      service,
      method: "POST",
      path: "/v3/projects",
      body: z.looseObject({
        projectId: projectIdShape,
        displayName: displayName.optional(),
        labels: labels.optional(),
        parent: z.string().optional(),
      }),
      needs: (call) => creationNeeds(rooms, call.body.parent?.replace(/^organizations\//, "")),
      async handle({ body, now }, grant) {
        const { projectId, displayName: name, labels: given } = body;
        return answer(
          "cp",
          await create(rooms, { id: projectId, displayName: name ?? projectId, labels: given ?? {} }, grant, now),
        );
      },
    }),
    apiRoute({
      id: id("GetOperation"),
      service,
      method: "GET",
      path: "/v3/operations/{operation}",
      needs: async ({ path }) => {
        const project = await projectOfOperation(rooms, path.operation as string);
        return [projectAccess(project?.id ?? ("" as ProjectId), "resourcemanager.projects.get")];
      },
      async handle({ path }) {
        const project = await projectOfOperation(rooms, path.operation as string);
        if (project === undefined) throw new ApiError("NOT_FOUND", "The operation does not exist.");
        return operation(path.operation as string, { "@type": typeV3, ...viewProjectV3(project) });
      },
    }),
    apiRoute({
      id: id("ListProjects"),
      service,
      method: "GET",
      path: "/v3/projects",
      needs: () => "somebody",
      async handle(call) {
        const parent = call.query.get("parent") ?? "";
        const isOrganization = parent === `organizations/${await rooms.projects.organization()}`;
        if (!isOrganization)
          throw new ApiError("PERMISSION_DENIED", `No projects are known under '${parent.slice(0, 100)}'.`);
        return pageOf(await listProjects(rooms, call, ""), viewProjectV3);
      },
    }),
    apiRoute({
      id: id("SearchProjects"),
      service,
      method: "GET",
      path: "/v3/projects:search",
      needs: () => "somebody",
      handle: async (call) => pageOf(await listProjects(rooms, call, call.query.get("query") ?? ""), viewProjectV3),
    }),
    apiRoute({
      id: id("GetProject"),
      service,
      method: "GET",
      path: "/v3/projects/{project}",
      needs: on("resourcemanager.projects.get"),
      handle: async (call) => viewProjectV3(await requireProject(rooms, call)),
    }),
    apiRoute({
      id: id("UpdateProject"),
      service,
      method: "PATCH",
      path: "/v3/projects/{project}",
      body: z.looseObject({ displayName: displayName.optional(), labels: labels.optional() }),
      needs: on("resourcemanager.projects.update"),
      async handle(call, grant) {
        const { id: projectId } = await requireProject(rooms, call);
        const mask = (call.query.get("updateMask") ?? "displayName,labels").split(",");
        const { displayName: name, labels: given } = call.body;
        const change = {
          id: projectId,
          ...((mask.includes("displayName") || mask.includes("display_name")) &&
            name !== undefined && { displayName: name }),
          ...(mask.includes("labels") && { labels: given ?? {} }),
        };
        return answer(
          "up",
          await database.write(updateProject, { ...change, actor: actorOf(requireGrant(grant)), now: call.now }),
        );
      },
    }),
    apiRoute({
      id: id("DeleteProject"),
      service,
      method: "DELETE",
      path: "/v3/projects/{project}",
      needs: on("resourcemanager.projects.delete"),
      async handle(call, grant) {
        const { id: projectId } = await requireProject(rooms, call);
        const input = { id: projectId, actor: actorOf(requireGrant(grant)), now: call.now };
        return answer("pd", await database.write(deleteProject, input));
      },
    }),
    apiRoute({
      id: id("UndeleteProject"),
      service,
      method: "POST",
      path: "/v3/projects/{project}:undelete",
      body: z.looseObject({}),
      needs: on("resourcemanager.projects.undelete"),
      async handle(call, grant) {
        const { id: projectId } = await requireProject(rooms, call);
        const input = { id: projectId, actor: actorOf(requireGrant(grant)), now: call.now };
        return answer("pu", await database.write(undeleteProject, input));
      },
    }),
  ];
}

const typeV1 = "type.googleapis.com/google.cloud.resourcemanager.v1.Project";
const typeV3 = "type.googleapis.com/google.cloud.resourcemanager.v3.Project";

/** Everything is done before the reply: the operation's name says only whose it was. */
function operation(name: string, response: object): object {
  return { name: `operations/${name}`, done: true, response };
}

async function projectOfOperation({ projects }: ResourceManagerRooms, name: string): Promise<Project | undefined> {
  const number = /^(?:cp|up|pd|pu)\.(\d{1,20})$/.exec(name)?.[1];
  return number === undefined ? undefined : projects.findByNumber(number);
}

async function creationNeeds({ projects }: ResourceManagerRooms, parent: string | undefined): Promise<Access[]> {
  const organization = parent ?? (await projects.organization());
  const resource = organizationResource(organization.slice(0, 100));
  return [{ permission: "resourcemanager.projects.create", resource, project: undefined }];
}

async function create(
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

function projectAccess(project: ProjectId, permission: Permission): Access {
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

interface Page {
  projects: Project[];
  next: string | undefined;
}

const maxPage = 500;

/** The projects that the caller may see and the filter lets through, in the order of their ids. */
async function listProjects({ database, access }: ResourceManagerRooms, call: ApiCall, filter: string): Promise<Page> {
  const test = parseProjectFilter(filter);
  const size = Math.min(Math.max(Number(call.query.get("pageSize")) || maxPage, 1), maxPage);
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

function pageOf({ projects, next }: Page, view: (project: Project) => object): object {
  return {
    ...(projects.length > 0 && { projects: projects.map(view) }),
    ...(next !== undefined && { nextPageToken: Buffer.from(next).toString("base64url") }),
  };
}

function organizationRoutes(rooms: ResourceManagerRooms): ApiRoute[] {
  const view = async (version: "v1" | "v3"): Promise<object | undefined> => {
    const row = await rooms.database.readRow<{ id: string; display_name: string; created_at: number }>(
      "SELECT id, display_name, created_at FROM organizations LIMIT 1",
    );
    if (row === undefined) return undefined;
    const name = `organizations/${row.id}`;
    const times = { [version === "v1" ? "creationTime" : "createTime"]: new Date(row.created_at).toISOString() };
    const state = { [version === "v1" ? "lifecycleState" : "state"]: "ACTIVE" };
    return { name, displayName: row.display_name, ...times, ...state };
  };
  const get = (version: "v1" | "v3"): ApiRoute =>
    apiRoute({
      id: `google.cloud.resourcemanager.${version}.Organizations.GetOrganization`,
      service,
      method: "GET",
      path: `/${version}/organizations/{organization}`,
      needs: ({ path }) => organizationNeeds(path.organization as string, "resourcemanager.organizations.get"),
      handle: async () => view(version),
    });
  const search = (version: "v1" | "v3"): ApiRoute =>
    apiRoute({
      id: `google.cloud.resourcemanager.${version}.Organizations.SearchOrganizations`,
      service,
      method: version === "v1" ? "POST" : "GET",
      path: `/${version}/organizations:search`,
      ...(version === "v1" && { body: z.looseObject({}) }),
      needs: () => "somebody",
      async handle({ caller }) {
        const [access] = organizationNeeds(await rooms.projects.organization(), "resourcemanager.organizations.get");
        const isVisible = access !== undefined && (await rooms.access.isAllowed(caller, access));
        return isVisible ? { organizations: [await view(version)] } : {};
      },
    });
  return [get("v1"), get("v3"), search("v1"), search("v3")];
}

function organizationNeeds(organization: string, permission: Permission): Access[] {
  return [{ permission, resource: organizationResource(organization.slice(0, 100)), project: undefined }];
}

function policies(rooms: ResourceManagerRooms): ApiRoute[] {
  const roleParents = async (own: string[]): Promise<string[]> => [
    ...own,
    `organizations/${await rooms.projects.organization()}`,
  ];
  const ofProject = (version: string): PolicyKind => ({
    service,
    idPrefix: `google.cloud.resourcemanager.${version}.Projects.`,
    path: `/${version}/projects/{project}`,
    get: { permission: "resourcemanager.projects.getIamPolicy", methods: ["POST"] },
    set: "resourcemanager.projects.setIamPolicy",
    allowsPublic: false,
    keepsOwner: true,
    async target({ path }) {
      const project = (await findProject(rooms, path.project as string))?.id ?? (path.project as ProjectId);
      return { resource: projectResource(project), project, roleParents: await roleParents([`projects/${project}`]) };
    },
    requireExists: async (call) => void (await requireProject(rooms, call)),
  });
  const ofOrganization = (version: string): PolicyKind => ({
    service,
    idPrefix: `google.cloud.resourcemanager.${version}.Organizations.`,
    path: `/${version}/organizations/{organization}`,
    get: { permission: "resourcemanager.organizations.getIamPolicy", methods: ["POST"] },
    set: "resourcemanager.organizations.setIamPolicy",
    allowsPublic: false,
    keepsOwner: false,
    async target({ path }) {
      const resource = organizationResource((path.organization as string).slice(0, 100));
      return { resource, project: undefined, roleParents: await roleParents([]) };
    },
    requireExists: () => Promise.resolve(),
  });
  return ["v1", "v3"].flatMap((version) => [
    ...policyRoutes(ofProject(version), rooms),
    ...policyRoutes(ofOrganization(version), rooms),
  ]);
}
