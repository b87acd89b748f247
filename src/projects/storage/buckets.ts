import { z } from "zod";
import type { Access } from "../../access/access-control.ts";
import { type ApiCall, type ApiRoute, apiRoute, requireGrant } from "../../access/api-route.ts";
import { actorOf } from "../../access/audit/audit-log.ts";
import { newEtag } from "../../access/iam/etag.ts";
import { currentPolicy, type PolicyRooms } from "../../access/iam/policy-routes.ts";
import type { Permission } from "../../access/permissions.ts";
import { ApiError } from "../../http/api-error.ts";
import { parseBucketName } from "../../names/buckets.ts";
import { type ProjectId } from "../../names/reference.ts";
import { bucketResource, projectResource } from "../../names/resources.ts";
import type { Projects } from "../projects.ts";
import { ensureRegistry, type Registries, type Registry } from "../registries.ts";
import { findProject } from "../project-access.ts";

export const service = "storage.googleapis.com";

export interface StorageRooms extends PolicyRooms {
  projects: Projects;
  registries: Registries;
  /** The host of this name, with the store that its bytes live in; `undefined` if the server has none such. */
  findHost(name: string): { name: string; store: string; readOnly: boolean } | undefined;
}

/** The buckets of registries, and who may use them. [Cloud Storage JSON API v1] */
export function bucketRoutes(rooms: StorageRooms): ApiRoute[] {
  const on = bucketNeeds(rooms);
  const inProject = async (call: ApiCall, permission: Permission): Promise<Access[]> => {
    const named = call.query.get("project") ?? "";
    const project = (await findProject(rooms, named))?.id ?? (named as ProjectId);
    return [{ permission, resource: projectResource(project), project }];
  };
  return [
    apiRoute({
      id: "storage.buckets.list",
      service,
      method: "GET",
      path: "/storage/v1/b",
      needs: (call) => inProject(call, "storage.buckets.list"),
      async handle(call) {
        const project = await findProject(rooms, call.query.get("project") ?? "");
        const registries = project === undefined ? [] : await rooms.registries.ofProject(project.id);
        const prefix = call.query.get("prefix") ?? "";
        const shown = registries.filter(({ bucket }) => bucket.startsWith(prefix));
        const items = await Promise.all(shown.map((registry) => viewBucket(rooms, registry, call)));
        return { kind: "storage#buckets", ...(items.length > 0 && { items }) };
      },
    }),
    apiRoute({
      id: "storage.buckets.create",
      service,
      method: "POST",
      path: "/storage/v1/b",
      body: z.looseObject({ name: z.string().max(222) }),
      needs: (call) => inProject(call, "storage.buckets.create"),
      async handle(call, grant) {
        const project = await findProject(rooms, call.query.get("project") ?? "");
        if (project === undefined) throw new ApiError("NOT_FOUND", "The project does not exist.");
        return viewBucket(rooms, await createBucket(rooms, call.body.name, project.id, grant, call.now), call);
      },
    }),
    apiRoute({
      id: "storage.buckets.get",
      service,
      method: "GET",
      path: "/storage/v1/b/{bucket}",
      needs: on("storage.buckets.get"),
      handle: async (call) => viewBucket(rooms, await requireBucket(rooms, call), call),
    }),
    ...(["PATCH", "PUT"] as const).map((method) =>
      apiRoute({
        id: "storage.buckets.update",
        service,
        method,
        path: "/storage/v1/b/{bucket}",
        body: z.looseObject({
          iamConfiguration: z
            .looseObject({ uniformBucketLevelAccess: z.looseObject({ enabled: z.boolean().optional() }).optional() })
            .optional(),
        }),
        needs: on("storage.buckets.update"),
        async handle(call) {
          const registry = await requireBucket(rooms, call);
          requireNothingElse(call.body);
          return viewBucket(rooms, registry, call);
        },
      }),
    ),
  ];
}

/** A right on a bucket; one that does not exist is asked about as its project's next one would be. */
export function bucketNeeds(rooms: Pick<StorageRooms, "registries">) {
  return (permission: Permission) =>
    async ({ path }: ApiCall): Promise<Access[]> => {
      const bucket = path.bucket as string;
      const known = await rooms.registries.findByBucket(bucket);
      const project = known?.project ?? parseBucketName(bucket)?.project ?? ("" as ProjectId);
      return [{ permission, resource: bucketResource(bucket), project }];
    };
}

export async function requireBucket(
  { registries }: Pick<StorageRooms, "registries">,
  { path }: ApiCall,
): Promise<Registry> {
  const registry = await registries.findByBucket(path.bucket as string);
  if (registry === undefined) throw new ApiError("NOT_FOUND", "The specified bucket does not exist.");
  return registry;
}

async function createBucket(
  rooms: StorageRooms,
  name: string,
  project: ProjectId,
  grant: Parameters<typeof requireGrant>[0],
  now: number,
): Promise<Registry> {
  const parsed = parseBucketName(name);
  const host = parsed === undefined ? undefined : rooms.findHost(parsed.host);
  if (parsed?.project !== project || host === undefined || host.readOnly) {
    throw new ApiError(
      "INVALID_ARGUMENT",
      `name: Berth keeps the buckets of registries, such as artifacts.PROJECT.appspot.com for gcr.io; ${name} is none of ${project}.`,
    );
  }
  if ((await rooms.registries.findByBucket(name)) !== undefined) {
    throw new ApiError("ALREADY_EXISTS", "You already own this bucket. Please select another name.");
  }
  const actor = actorOf(requireGrant(grant));
  await rooms.database.write(ensureRegistry, {
    host: host.name,
    project,
    store: host.store,
    etag: newEtag(),
    actor,
    now,
  });
  const made = await rooms.registries.find(host.name, project);
  if (made === undefined) throw new Error(`the registry ${name} was made and is not there`);
  return made;
}

/** What can be changed is access, by its policy; uniform access is how all buckets here are. */
function requireNothingElse({
  iamConfiguration,
  ...rest
}: { iamConfiguration?: unknown } & Record<string, unknown>): void {
  const settable = new Set(["name", "kind", "id", "etag", "acl", "defaultObjectAcl"]);
  const other = Object.keys(rest).find((key) => !settable.has(key));
  if (other !== undefined) throw new ApiError("INVALID_ARGUMENT", `${other}: a registry's bucket does not have it.`);
  const uniform = (iamConfiguration as { uniformBucketLevelAccess?: { enabled?: boolean } } | undefined)
    ?.uniformBucketLevelAccess;
  if (uniform?.enabled === false) {
    throw new ApiError(
      "INVALID_ARGUMENT",
      "iamConfiguration.uniformBucketLevelAccess.enabled: a registry's bucket has uniform access, without lists for single objects.",
    );
  }
}

const locations: Record<string, string> = { "eu.gcr.io": "EU", "asia.gcr.io": "ASIA" };

async function viewBucket(rooms: StorageRooms, registry: Registry, { query, server }: ApiCall): Promise<object> {
  const { bucket, host, project, createdAt } = registry;
  const time = new Date(createdAt).toISOString();
  const { etag } = await currentPolicy(rooms.database, bucketResource(bucket));
  const full = query.get("projection") === "full";
  return {
    kind: "storage#bucket",
    id: bucket,
    name: bucket,
    selfLink: `${server}/storage/v1/b/${bucket}`,
    projectNumber: (await rooms.projects.find(project))?.number,
    metageneration: "1",
    location: locations[host] ?? "US",
    locationType: "multi-region",
    storageClass: "STANDARD",
    timeCreated: time,
    updated: time,
    etag,
    iamConfiguration: {
      bucketPolicyOnly: { enabled: true },
      uniformBucketLevelAccess: { enabled: true },
      publicAccessPrevention: "inherited",
    },
    ...(full && { acl: [], defaultObjectAcl: [] }),
  };
}
