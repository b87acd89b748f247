import type { Permission } from "../access/permissions.ts";
import type { ErrorCode } from "../http/error-table.ts";
import { getBlob, headBlob, removeBlob, requireDigest } from "./blobs.ts";
import { getManifest, parseReference, putManifest, removeManifest } from "./manifests.ts";
import { getReferrers } from "./referrers.ts";
import type { RepositoryCall } from "./router.ts";
import { listRepository } from "./tags.ts";
import { deleteUpload, getUpload, patchUpload, postUpload, putUpload } from "./uploads.ts";

export interface Route {
  permissions: readonly [Permission, ...Permission[]];
  /** The actions of the scope that a token needs for it. */
  scope: "pull" | "pull,push" | "delete";
  /** Whether it may make the registry. */
  pushes: boolean;
  /** What is said where the registry does not exist. */
  absent: ErrorCode;
  /** Refuses a reference that breaks its grammar. */
  check?: (reference: string) => void;
  handler(call: RepositoryCall): Promise<Response>;
}

type Handler = Route["handler"];

const pull = (absent: ErrorCode, handler: Handler): Route => ({
  permissions: ["storage.objects.get"],
  scope: "pull",
  pushes: false,
  absent,
  handler,
});
const list = (handler: Handler): Route => ({
  permissions: ["storage.objects.list"],
  scope: "pull",
  pushes: false,
  absent: "NAME_UNKNOWN",
  handler,
});
const push = (handler: Handler): Route => ({
  permissions: ["storage.objects.create", "storage.buckets.get"],
  scope: "pull,push",
  pushes: true,
  absent: "NAME_UNKNOWN",
  handler,
});
const remove = (absent: ErrorCode, handler: Handler): Route => ({
  permissions: ["storage.objects.delete"],
  scope: "delete",
  pushes: false,
  absent,
  handler,
});

/** Every address in a repository: kind of path, method, what it takes, who answers. */
export const routes: Readonly<Record<string, Readonly<Record<string, Route>>>> = {
  manifests: {
    GET: { ...pull("MANIFEST_UNKNOWN", getManifest), check: parseReference },
    HEAD: { ...pull("MANIFEST_UNKNOWN", getManifest), check: parseReference },
    PUT: { ...push(putManifest), check: parseReference },
    DELETE: { ...remove("MANIFEST_UNKNOWN", removeManifest), check: parseReference },
  },
  blobs: {
    GET: { ...pull("BLOB_UNKNOWN", getBlob), check: requireDigest },
    HEAD: { ...pull("BLOB_UNKNOWN", headBlob), check: requireDigest },
    DELETE: { ...remove("BLOB_UNKNOWN", removeBlob), check: requireDigest },
  },
  uploads: { POST: push(postUpload) },
  upload: {
    GET: push(getUpload),
    PATCH: push(patchUpload),
    PUT: push(putUpload),
    DELETE: push(deleteUpload),
  },
  tags: { GET: list(listRepository) },
  referrers: { GET: { ...pull("NAME_UNKNOWN", getReferrers), check: requireDigest } },
};
