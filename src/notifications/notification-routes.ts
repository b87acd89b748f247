import { type ApiRoute, apiRoute } from "../access/api-route.ts";
import { ApiError } from "../http/api-error.ts";
import type { Database } from "../metadata/database.ts";
import type { ProjectId } from "../names/reference.ts";
import { projectResource } from "../names/resources.ts";
import { gcrTopic } from "./pubsub.ts";
import { findTopic } from "./topics.ts";

interface NotificationRooms {
  database: Database;
  findProject(idOrNumber: string): Promise<ProjectId | undefined>;
  /** Whether the server tells topics at all. */
  isOn: boolean;
}

/** How it goes with what the registry tells others. What Google has no API for here: Berth's own. */
export function notificationRoutes({ database, findProject, isOn }: NotificationRooms): ApiRoute[] {
  return [
    apiRoute({
      id: "berth.notifications.ListTargets",
      service: "berth",
      method: "GET",
      path: "/berth/v1/projects/{project}/notificationTargets",
      async needs({ path }) {
        const project = (await findProject(path.project as string)) ?? (path.project as ProjectId);
        return [{ permission: "resourcemanager.projects.get", resource: projectResource(project), project }];
      },
      async handle({ path }) {
        const project = await findProject(path.project as string);
        if (project === undefined) throw new ApiError("NOT_FOUND", `The project ${path.project} does not exist.`);
        if (!isOn) return { targets: [] };
        const status = await database.read(findTopic(project));
        const { state = "ok", reason = "", changedAt } = status ?? {};
        const target = {
          name: gcrTopic(project),
          state,
          ...(reason !== "" && { reason }),
          ...(changedAt !== undefined && { stateTime: new Date(changedAt).toISOString() }),
        };
        return { targets: [target] };
      },
    }),
  ];
}
