import { type Digest, parseDigest } from "../../names/digest.ts";
import { parseRepositoryPath, parseTag, type ProjectId, projectPath, type Tag } from "../../names/reference.ts";

/** What an object of a registry's bucket is. */
export type ObjectName =
  | { kind: "blob"; digest: Digest }
  /** `repository` is the whole path, project included. */
  | { kind: "manifest"; repository: string; digest: Digest }
  | { kind: "tag"; repository: string; tag: Tag };

export const images = "containers/images/";
export const repositories = "containers/repositories/library/";

/**
 * Takes the name of an object apart, as Container Registry called them: `containers/images/DIGEST` for layers and
 * configs, `containers/repositories/library/REPOSITORY/manifest_DIGEST` and `…/tag_TAG` for manifests, the repository
 * without its project.
 */
export function parseObjectName(name: string, project: ProjectId): ObjectName | undefined {
  if (name.startsWith(images)) {
    const digest = parseDigest(name.slice(images.length));
    return digest === undefined ? undefined : { kind: "blob", digest };
  }
  const match = /^(.+)\/(manifest|tag)_(.+)$/.exec(
    name.startsWith(repositories) ? name.slice(repositories.length) : "",
  );
  if (match === null) return undefined;
  const [, path, kind, reference] = match as unknown as [string, string, "manifest" | "tag", string];
  const repository = `${projectPath(project)}/${path}`;
  if (parseRepositoryPath(repository)?.project !== project) return undefined;
  if (kind === "tag") {
    const tag = parseTag(reference);
    return tag === undefined ? undefined : { kind, repository, tag };
  }
  const digest = parseDigest(reference);
  return digest === undefined ? undefined : { kind, repository, digest };
}
