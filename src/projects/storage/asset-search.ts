import type { Access } from "../../access/access-control.ts";
import { type ApiCall, type ApiRoute, apiRoute } from "../../access/api-route.ts";
import { ApiError } from "../../http/api-error.ts";
import { pageSizeOf } from "../../http/page-size.ts";
import { all } from "../../metadata/statement.ts";
import type { ProjectId } from "../../names/reference.ts";
import { bucketResource, organizationResource, projectResource } from "../../names/resources.ts";
import type { StorageRooms } from "./buckets.ts";

const service = "cloudasset.googleapis.com";
const bucketType = "storage.googleapis.com/Bucket";
const largestPage = 500;

interface BucketRow {
  bucket: string;
  project_id: ProjectId;
  number: string;
}

/**
 * Finds buckets, as `gcloud container images list-gcr-usage` looks for registries. Other kinds of assets are not kept
 * there. [Cloud Asset API v1, searchAllResources]
 */
export function assetRoutes(rooms: Pick<StorageRooms, "database" | "projects">): ApiRoute[] {
  const permission = "cloudasset.assets.searchAllResources";
  const route = (path: string, needs: (call: ApiCall) => Promise<Access[]>): ApiRoute =>
    apiRoute({
      id: "google.cloud.asset.v1.AssetService.SearchAllResources",
      service,
      method: "GET",
      path,
      needs,
      handle: (call) => search(rooms, call),
    });
  return [
    route("/v1/projects/{project}:searchAllResources", async ({ path }) => {
      const named = path.project as string;
      const found = /^\d+$/.test(named) ? await rooms.projects.findByNumber(named) : undefined;
      const project = found?.id ?? (named as ProjectId);
      return [{ permission, resource: projectResource(project), project }];
    }),
    route("/v1/organizations/{organization}:searchAllResources", ({ path }) => {
      const resource = organizationResource(path.organization as string);
      return Promise.resolve([{ permission, resource, project: undefined }]);
    }),
  ];
}

async function search({ database }: Pick<StorageRooms, "database">, { path, query }: ApiCall): Promise<object> {
  const words = readQuery(query.get("query") ?? "");
  const types = query.getAll("assetTypes");
  if (types.length > 0 && !types.includes(bucketType)) return {};
  const size = pageSizeOf(query, { usual: largestPage, largest: largestPage });
  const after = Buffer.from(query.get("pageToken") ?? "", "base64url").toString("utf8");
  const scope = path.project === undefined ? "" : "AND (p.id = ? OR p.number = ?)";
  const rows = await database.read(
    all<BucketRow>(
      `SELECT g.bucket, g.project_id, p.number FROM registries g JOIN projects p ON p.id = g.project_id
         WHERE p.delete_requested_at IS NULL AND g.bucket > ? ${scope} ORDER BY g.bucket LIMIT ?`,
      after,
      ...(path.project === undefined ? [] : [path.project, path.project]),
      size + 1,
    ),
  );
  const shown = rows.slice(0, size);
  const results = shown.filter(({ bucket }) => words.every((word) => bucket.split(/[.-]/).includes(word)));
  const last = shown.at(-1);
  return {
    ...(results.length > 0 && { results: results.map(viewBucket) }),
    ...(rows.length > size && last && { nextPageToken: Buffer.from(last.bucket).toString("base64url") }),
  };
}

/** `name:WORD WORD …`, all of which must be in the name. @throws ApiError INVALID_ARGUMENT */
function readQuery(text: string): string[] {
  const match = /^(?:name:)?\(?((?:[a-z0-9.-]+ ?)*)\)?$/.exec(text.trim());
  if (match === null) throw new ApiError("INVALID_ARGUMENT", "query: expected name:WORD, with one word or more.");
  return (match[1] as string).split(/[ .-]/).filter(Boolean);
}

function viewBucket({ bucket, project_id, number }: BucketRow): object {
  return {
    name: bucketResource(bucket).replace("/projects/_/buckets/", "/"),
    assetType: bucketType,
    project: `projects/${number}`,
    displayName: bucket,
    parentFullResourceName: projectResource(project_id),
    parentAssetType: "cloudresourcemanager.googleapis.com/Project",
  };
}
