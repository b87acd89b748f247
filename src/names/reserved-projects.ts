import type { ProjectId } from "./reference.ts";

/** Projects of Google's that accounts and images of the service itself are named after. */
const reserved = new Set([
  "appspot",
  "cloudbuild",
  "cloud-containers-mirror",
  "cloud-marketplace",
  "cloudservices",
  "compute-system",
  "container-engine-robot",
  "containerregistry",
  "developer",
  "google-containers",
  "serverless-robot-prod",
  "system",
]);

/**
 * Whether a project's id is nobody's to take: `service-NUMBER@containerregistry.iam.gserviceaccount.com` is the service
 * agent of a project, and whoever had a project `containerregistry` could make himself that account.
 */
export function isReservedProject(id: ProjectId | string): boolean {
  return reserved.has(id) || /^(?:gcp-sa|goog)-/.test(id);
}
