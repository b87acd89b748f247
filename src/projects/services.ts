import { type Actor, recordChange } from "../access/audit/audit-log.ts";
import { bumpVersion } from "../metadata/freshness.ts";
import { command } from "../metadata/database.ts";
import { all, run, type Steps } from "../metadata/statement.ts";
import type { ProjectId } from "../names/reference.ts";
import { projectResource } from "../names/resources.ts";

/** The services that a project can use, with their titles. [Service Usage, "Listing services"] */
export const services: ReadonlyMap<string, string> = new Map([
  ["accesscontextmanager.googleapis.com", "Access Context Manager API"],
  ["binaryauthorization.googleapis.com", "Binary Authorization API"],
  ["cloudapis.googleapis.com", "Google Cloud APIs"],
  ["cloudasset.googleapis.com", "Cloud Asset API"],
  ["cloudresourcemanager.googleapis.com", "Cloud Resource Manager API"],
  ["containeranalysis.googleapis.com", "Container Analysis API"],
  ["containerregistry.googleapis.com", "Container Registry API"],
  ["containerscanning.googleapis.com", "Container Scanning API"],
  ["iam.googleapis.com", "Identity and Access Management (IAM) API"],
  ["iamcredentials.googleapis.com", "IAM Service Account Credentials API"],
  ["logging.googleapis.com", "Cloud Logging API"],
  ["ondemandscanning.googleapis.com", "On-Demand Scanning API"],
  ["pubsub.googleapis.com", "Cloud Pub/Sub API"],
  ["serviceusage.googleapis.com", "Service Usage API"],
  ["storage.googleapis.com", "Cloud Storage API"],
  ["storage-api.googleapis.com", "Google Cloud Storage JSON API"],
  ["sts.googleapis.com", "Security Token Service API"],
]);

/** Without which no image is pushed or pulled. */
export const containerRegistryApi = "containerregistry.googleapis.com";

interface ServiceChange {
  project: ProjectId;
  services: string[];
  enabled: boolean;
  actor: Actor;
  now: number;
}

export const setServices = command("projects.setServices", function* (input: ServiceChange) {
  for (const service of input.services) {
    const sql = input.enabled
      ? "DELETE FROM disabled_services WHERE project_id = ? AND service = ?"
      : "INSERT INTO disabled_services (project_id, service) VALUES (?, ?) ON CONFLICT (project_id, service) DO NOTHING";
    yield* run(sql, input.project, service);
  }
  yield* bumpVersion("projects");
  const detail = { services: input.services, enabled: input.enabled };
  yield* recordChange(input.actor, projectResource(input.project), detail, input.now);
});

/** The services that a project has switched off. */
export function* disabledServices(project: ProjectId): Steps<ReadonlySet<string>> {
  const rows = yield* all<{ service: string }>("SELECT service FROM disabled_services WHERE project_id = ?", project);
  return new Set(rows.map(({ service }) => service));
}
