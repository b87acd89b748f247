import type { ProjectId } from "./reference.ts";

/** A full resource name as IAM writes it, `//SERVICE/PATH`. [IAM, "Full resource names"] */
export type ResourceName = string;

const buckets = "//storage.googleapis.com/projects/_/buckets/";
const projects = "//cloudresourcemanager.googleapis.com/projects/";

export function organizationResource(organization: string): ResourceName {
  return `//cloudresourcemanager.googleapis.com/organizations/${organization}`;
}

export function projectResource(project: ProjectId): ResourceName {
  return projects + project;
}

/** The project that a resource is; `undefined` for any other resource. */
export function projectOf(resource: ResourceName): ProjectId | undefined {
  return resource.startsWith(projects) ? (resource.slice(projects.length) as ProjectId) : undefined;
}

export function bucketResource(bucket: string): ResourceName {
  return buckets + bucket;
}

export function serviceAccountResource(project: ProjectId, uniqueId: string): ResourceName {
  return `//iam.googleapis.com/projects/${project}/serviceAccounts/${uniqueId}`;
}

/** What access to one repository is asked on: an object prefix in its registry's bucket. */
export function repositoryResource(bucket: string, repository: string): ResourceName {
  return `${buckets}${bucket}/objects/${repository}`;
}

/**
 * What access to one manifest is asked on: `REPOSITORY:TAG` or `REPOSITORY@DIGEST`. Neither `:` nor `@` stands in a
 * repository's name, so that no other repository begins like it.
 */
export function manifestResource(repository: ResourceName, reference: string): ResourceName {
  return `${repository}${reference.includes(":") ? "@" : ":"}${reference}`;
}

/** The bucket of a bucket or of something in it; `undefined` for any other resource. */
export function bucketOf(resource: ResourceName): ResourceName | undefined {
  if (!resource.startsWith(buckets)) return undefined;
  const end = resource.indexOf("/", buckets.length);
  return end < 0 ? resource : resource.slice(0, end);
}

/** A resource as conditions know it. [IAM, "Attribute reference for IAM Conditions", resource attributes] */
export interface ResourceAttributes {
  /** Without the service: `projects/_/buckets/B/objects/O`. */
  name: string;
  /** `storage.googleapis.com/Object` */
  type: string;
  service: string;
}

const types: [RegExp, string][] = [
  [/^projects\/_\/buckets\/[^/]+$/, "Bucket"],
  [/^projects\/_\/buckets\/[^/]+\/objects\//, "Object"],
  [/^projects\/[^/]+$/, "Project"],
  [/^organizations\/[^/]+$/, "Organization"],
  [/^projects\/[^/]+\/serviceAccounts\/[^/]+$/, "ServiceAccount"],
];

export function resourceAttributes(resource: ResourceName): ResourceAttributes {
  const slash = resource.indexOf("/", 2);
  const service = resource.slice(2, slash);
  const name = resource.slice(slash + 1);
  const type = types.find(([form]) => form.test(name))?.[1];
  return { name, service, type: type === undefined ? "" : `${service}/${type}` };
}
