import type { ProjectId } from "./reference.ts";

/** A full resource name as IAM writes it, `//SERVICE/PATH`. [IAM, "Full resource names"] */
export type ResourceName = string;

export function projectResource(project: ProjectId): ResourceName {
  return `//cloudresourcemanager.googleapis.com/projects/${project}`;
}

export function bucketResource(bucket: string): ResourceName {
  return `//storage.googleapis.com/projects/_/buckets/${bucket}`;
}

/** What access to one repository is asked on: an object prefix in its registry's bucket. */
export function repositoryResource(bucket: string, repository: string): ResourceName {
  return `//storage.googleapis.com/projects/_/buckets/${bucket}/objects/${repository}`;
}
