import { z } from "zod";
import { type ApiRoute, apiRoute } from "../access/api-route.ts";
import { type PolicyKind, policyRoutes } from "../access/iam/policy-routes.ts";
import { type ProjectId } from "../names/reference.ts";
import { organizationResource, projectResource } from "../names/resources.ts";
import {
  type ResourceManagerRooms,
  findProject,
  organizationNeeds,
  requireProject,
  service,
} from "./project-access.ts";
import { versionOne } from "./project-routes-v1.ts";
import { versionThree } from "./project-routes-v3.ts";

/** Projects and the organisation. [Resource Manager API v1 and v3] */
export function resourceManagerRoutes(rooms: ResourceManagerRooms): ApiRoute[] {
  return [...versionOne(rooms), ...versionThree(rooms), ...organizationRoutes(rooms), ...policies(rooms)];
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
    keepsRole: "roles/owner",
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
    keepsRole: "roles/resourcemanager.organizationAdmin",
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
