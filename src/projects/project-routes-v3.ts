import { z } from "zod";
import { type ApiRoute, apiRoute, requireGrant } from "../access/api-route.ts";
import { actorOf } from "../access/audit/audit-log.ts";
import { ApiError } from "../http/api-error.ts";
import { type ProjectId } from "../names/reference.ts";
import { deleteProject, undeleteProject, updateProject } from "./project-commands.ts";
import { viewProjectV3 } from "./project-views.ts";
import type { Project } from "./projects.ts";
import { type ResourceManagerRooms, projectAccess, projectNeeds, requireProject, service } from "./project-access.ts";
import {
  create,
  creationNeeds,
  displayName,
  labels,
  listProjects,
  operation,
  pageOf,
  projectIdShape,
  projectOfOperation,
} from "./project-calls.ts";

export function versionThree(rooms: ResourceManagerRooms): ApiRoute[] {
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

const typeV3 = "type.googleapis.com/google.cloud.resourcemanager.v3.Project";
