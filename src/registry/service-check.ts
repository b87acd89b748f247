import { BerthError } from "../http/berth-error.ts";
import type { ProjectId } from "../names/reference.ts";
import { containerRegistryApi } from "../projects/services.ts";
import type { RegistryCall } from "./context.ts";

/** In Container Registry's words; only who may use the project hears that its service is off. */
export async function requireService({ rooms }: RegistryCall, project: ProjectId): Promise<void> {
  if (await rooms.projects.hasService(project, containerRegistryApi)) return;
  throw new BerthError(
    "DENIED",
    `Token exchange failed for project '${project}'. Please enable Google Container Registry API in Cloud Console at ` +
      `https://console.cloud.google.com/apis/api/${containerRegistryApi}/overview?project=${project} before performing this operation.`,
  );
}
