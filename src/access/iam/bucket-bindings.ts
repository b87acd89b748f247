import type { ProjectId } from "../../names/reference.ts";
import type { Binding } from "./policy.ts";

/**
 * What a new bucket's policy says: the project's owners and editors may do everything with its images, its viewers
 * read them. Whoever takes these bindings away takes the access away. [Cloud Storage, "Initial policy of a bucket"]
 */
export function bucketBindings(project: ProjectId): Binding[] {
  const [owners, editors, viewers] = [
    `projectOwner:${project}`,
    `projectEditor:${project}`,
    `projectViewer:${project}`,
  ];
  return [
    { role: "roles/storage.legacyBucketOwner", members: [editors, owners] },
    { role: "roles/storage.legacyBucketReader", members: [viewers] },
    { role: "roles/storage.legacyObjectOwner", members: [editors, owners] },
    { role: "roles/storage.legacyObjectReader", members: [viewers] },
  ];
}
