import type { Project } from "./projects.ts";
import { undeleteDays } from "./project-commands.ts";

/** As Resource Manager v1 shows a project. [Resource Manager v1, REST resource projects] */
export function viewProjectV1(project: Project): object {
  return {
    projectNumber: project.number,
    projectId: project.id,
    lifecycleState: stateOf(project),
    name: project.displayName,
    createTime: new Date(project.createdAt).toISOString(),
    ...(Object.keys(project.labels).length > 0 && { labels: project.labels }),
    parent: { type: "organization", id: project.organization },
  };
}

/** As Resource Manager v3 shows it. [Resource Manager v3, REST resource projects] */
export function viewProjectV3(project: Project): object {
  const { deleteRequestedAt } = project;
  return {
    name: `projects/${project.number}`,
    parent: `organizations/${project.organization}`,
    projectId: project.id,
    state: stateOf(project),
    displayName: project.displayName,
    createTime: new Date(project.createdAt).toISOString(),
    updateTime: new Date(project.updatedAt).toISOString(),
    ...(deleteRequestedAt !== undefined && {
      deleteTime: new Date(deleteRequestedAt).toISOString(),
      purgeTime: new Date(deleteRequestedAt + undeleteDays * 24 * 3600_000).toISOString(),
    }),
    etag: `W/"${Bun.CryptoHasher.hash("sha256", JSON.stringify(project), "hex").slice(0, 16)}"`,
    ...(Object.keys(project.labels).length > 0 && { labels: project.labels }),
  };
}

export function stateOf({ deleteRequestedAt }: Project): "ACTIVE" | "DELETE_REQUESTED" {
  return deleteRequestedAt === undefined ? "ACTIVE" : "DELETE_REQUESTED";
}
