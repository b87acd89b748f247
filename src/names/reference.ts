/** A repository's path below the host, `PROJECT/IMAGE…`, already checked. */
export type RepositoryName = string & { readonly __repositoryName: unique symbol };

/** A tag, already checked. [OCI distribution-spec, "Pulling manifests"] */
export type Tag = string & { readonly __tag: unique symbol };

/** A project's id, `name` or domain-scoped `example.com:name`. */
export type ProjectId = string & { readonly __projectId: unique symbol };

const maxNameLength = 255;

const segment = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const tagForm = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const projectForm = /^[a-z0-9]+(?:-+[a-z0-9]+)*$/;
const domainForm = /^[a-z0-9]+(?:-+[a-z0-9]+)*(?:\.[a-z0-9]+(?:-+[a-z0-9]+)*)+$/;

export interface RepositoryPath {
  project: ProjectId;
  /** The whole path, project included. */
  name: RepositoryName;
  /** What follows the project; empty at the project's root, which can be listed but not pushed to. */
  image: string;
}

export function parseTag(text: string): Tag | undefined {
  return tagForm.test(text) ? (text as Tag) : undefined;
}

/**
 * Splits a path into project and image: a dot in the first segment makes it a domain and the second
 * segment the project. [gcloud, container images: domain-scoped projects]
 * `undefined` where a segment breaks the grammar of the distribution specification, the whole is longer than
 * 255 characters, or a domain stands alone.
 */
export function parseRepositoryPath(path: string): RepositoryPath | undefined {
  if (path.length === 0 || path.length > maxNameLength) return undefined;
  const segments = path.split("/");
  for (const each of segments) if (!segment.test(each)) return undefined;
  const first = segments[0] as string;
  if (!first.includes(".")) {
    if (!projectForm.test(first)) return undefined;
    return {
      project: first as ProjectId,
      name: path as RepositoryName,
      image: segments.slice(1).join("/"),
    };
  }
  const second = segments[1];
  if (second === undefined || !domainForm.test(first) || !projectForm.test(second)) return undefined;
  return {
    project: `${first}:${second}` as ProjectId,
    name: path as RepositoryName,
    image: segments.slice(2).join("/"),
  };
}

/** The first segments of a repository's path for a project: `example.com:p` is written `example.com/p`. */
export function projectPath(project: ProjectId): string {
  return project.replace(":", "/");
}

export function parseProjectId(text: string): ProjectId | undefined {
  const path = parseRepositoryPath(text.replace(":", "/"));
  return path !== undefined && path.project === text ? path.project : undefined;
}
