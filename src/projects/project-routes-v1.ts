import { z } from "zod";
import { type ApiRoute, apiRoute, requireGrant } from "../access/api-route.ts";
import { actorOf } from "../access/audit/audit-log.ts";
import { ApiError } from "../http/api-error.ts";
import { type ProjectId } from "../names/reference.ts";
import { deleteProject, undeleteProject, updateProject } from "./project-commands.ts";
import { viewProjectV1 } from "./project-views.ts";
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

const parentV1 = z.looseObject({ type: z.string().optional(), id: z.string().optional() });

export function versionOne(rooms: ResourceManagerRooms): ApiRoute[] {
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

const typeV1 = "type.googleapis.com/google.cloud.resourcemanager.v1.Project";
