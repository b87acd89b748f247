import { z } from "zod";
import { type ApiCall, type ApiRoute, apiRoute, requireGrant } from "../access/api-route.ts";
import { actorOf } from "../access/audit/audit-log.ts";
import { ApiError } from "../http/api-error.ts";
import type { Database } from "../metadata/database.ts";
import type { Project, Projects } from "./projects.ts";
import { projectNeeds, requireProject } from "./project-access.ts";
import { disabledServices, services, setServices } from "./services.ts";

const service = "serviceusage.googleapis.com";
const path = "/v1/projects/{project}/services";
const method = (name: string): string => `google.api.serviceusage.v1.ServiceUsage.${name}`;

interface ServiceUsageRooms {
  database: Database;
  projects: Projects;
}

/** Which services a project uses: all of them, until it switches one off. [Service Usage API v1] */
export function serviceUsageRoutes(rooms: ServiceUsageRooms): ApiRoute[] {
  const { database } = rooms;
  const on = projectNeeds(rooms);
  const change = (verb: "enable" | "disable"): ApiRoute =>
    apiRoute({
      id: method(verb === "enable" ? "EnableService" : "DisableService"),
      service,
      method: "POST",
      path: `${path}/{service}:${verb}`,
      body: z.looseObject({}),
      needs: on(`serviceusage.services.${verb}`),
      async handle(call, grant) {
        const project = await requireProject(rooms, call);
        const name = requireService(call.path.service as string);
        const actor = actorOf(requireGrant(grant));
        const enabled = verb === "enable";
        await database.write(setServices, { project: project.id, services: [name], enabled, actor, now: call.now });
        const type = `type.googleapis.com/google.api.serviceusage.v1.${enabled ? "Enable" : "Disable"}ServiceResponse`;
        return {
          name: "operations/noop.DONE_OPERATION",
          done: true,
          response: { "@type": type, service: view(project, name, enabled) },
        };
      },
    });
  return [
    change("enable"),
    change("disable"),
    apiRoute({
      id: method("BatchEnableServices"),
      service,
      method: "POST",
      path: `${path}:batchEnable`,
      body: z.looseObject({ serviceIds: z.array(z.string().max(200)).min(1).max(20) }),
      needs: on("serviceusage.services.enable"),
      async handle(call, grant) {
        const project = await requireProject(rooms, call);
        const names = call.body.serviceIds.map(requireService);
        const actor = actorOf(requireGrant(grant));
        await database.write(setServices, {
          project: project.id,
          services: names,
          enabled: true,
          actor,
          now: call.now,
        });
        const type = "type.googleapis.com/google.api.serviceusage.v1.BatchEnableServicesResponse";
        const enabled = names.map((name) => view(project, name, true));
        return { name: "operations/noop.DONE_OPERATION", done: true, response: { "@type": type, services: enabled } };
      },
    }),
    apiRoute({
      id: method("GetService"),
      service,
      method: "GET",
      path: `${path}/{service}`,
      needs: on("serviceusage.services.get"),
      async handle(call) {
        const project = await requireProject(rooms, call);
        const name = requireService(call.path.service as string);
        return view(project, name, !(await database.read(disabledServices(project.id))).has(name));
      },
    }),
    apiRoute({
      id: method("ListServices"),
      service,
      method: "GET",
      path,
      needs: on("serviceusage.services.list"),
      handle: async (call) => list(rooms, call),
    }),
  ];
}

const filters: Record<string, (enabled: boolean) => boolean> = {
  "": () => true,
  "state:ENABLED": (enabled) => enabled,
  "state:DISABLED": (enabled) => !enabled,
};

async function list(rooms: ServiceUsageRooms, call: ApiCall): Promise<object> {
  const project = await requireProject(rooms, call);
  const filter = call.query.get("filter") ?? "";
  const test = Object.hasOwn(filters, filter) ? filters[filter] : undefined;
  if (test === undefined) throw new ApiError("INVALID_ARGUMENT", "filter: expected state:ENABLED or state:DISABLED.");
  const disabled = await rooms.database.read(disabledServices(project.id));
  const shown = [...services.keys()].filter((name) => test(!disabled.has(name)));
  return { services: shown.map((name) => view(project, name, !disabled.has(name))) };
}

/** @throws ApiError PERMISSION_DENIED, as Google answers for a service that does not exist */
function requireService(name: string): string {
  if (services.has(name)) return name;
  throw new ApiError("PERMISSION_DENIED", `Not found or permission denied for service(s): ${name.slice(0, 200)}.`);
}

function view(project: Project, name: string, enabled: boolean): object {
  return {
    name: `projects/${project.number}/services/${name}`,
    parent: `projects/${project.number}`,
    config: { name, title: services.get(name) },
    state: enabled ? "ENABLED" : "DISABLED",
  };
}
