import { isRefusal } from "../access/access-control.ts";
import { BerthError } from "../http/berth-error.ts";
import { bodyBytes, contentLength } from "../http/body.ts";
import { parseContentRange } from "../http/ranges.ts";
import { type Elsewhere, mountBlob } from "../images/blobs.ts";
import { commandInput } from "../images/repository.ts";
import {
  cancelUpload,
  continueUpload,
  finishUpload,
  rangeHeader,
  startUpload,
  type UploadBody,
  type UploadHandle,
  type UploadProgress,
  uploadStatus,
  uploadWhole,
} from "../images/uploads.ts";
import { type Digest, isDigestAlgorithm } from "../names/digest.ts";
import { parseRepositoryPath } from "../names/reference.ts";
import { bucketName } from "../names/buckets.ts";
import { repositoryResource } from "../names/resources.ts";
import { requireDigest } from "./blobs.ts";
import { unauthorized } from "./challenge.ts";
import { reply } from "./replies.ts";
import type { RepositoryCall } from "./router.ts";
import { wholeProject } from "./scopes.ts";

/** POST: mount, upload in one request, or the beginning of an upload. */
export async function postUpload(call: RepositoryCall): Promise<Response> {
  const { query, repository } = call;
  const mount = query.get("mount");
  if (mount !== null) {
    const digest = requireDigest(mount);
    if (await mountFrom(call, digest, query.get("from"))) return created(call, digest);
  } else {
    const whole = query.get("digest");
    if (whole !== null) {
      const digest = requireDigest(whole);
      await uploadWhole(repository, digest, bodyOf(call));
      return created(call, digest);
    }
  }
  const algorithm = query.get("digest-algorithm") ?? "sha256";
  if (!isDigestAlgorithm(algorithm)) {
    throw new BerthError("DIGEST_INVALID", `The algorithm "${algorithm.slice(0, 50)}" is not sha256 or sha512.`);
  }
  return progress(call, 202, { ...(await startUpload(repository, algorithm)), size: 0 });
}

/**
 * Links a blob of another repository, of the same host, where the caller may read it. A credential made for too
 * little gets a challenge for what it lacks; for any other reason the answer is no, and the client uploads.
 */
async function mountFrom(call: RepositoryCall, digest: Digest, from: string | null): Promise<boolean> {
  const { repository, rooms, identity } = call;
  const source = from === null ? undefined : parseRepositoryPath(from);
  if (from !== null && source === undefined) throw new BerthError("NAME_INVALID", `"from" is not a repository's name.`);
  const project = source?.project ?? call.project;
  const name = source?.name ?? wholeProject(project);
  const { host } = repository.registry;
  const read = {
    permission: "storage.objects.get",
    resource: repositoryResource(bucketName(host, project), name),
    project,
  } as const;
  const decision = await rooms.access.authorize(identity.caller, [read], call.call);
  if (isRefusal(decision)) {
    if (decision.refused !== "bounds") return false;
    throw unauthorized(call.asked, `${call.scope} repository:${name}:pull`, undefined, "insufficient_scope");
  }
  const registry = await rooms.registries.find(host, project);
  if (registry === undefined || registry.store !== repository.registry.store) return false;
  const elsewhere: Elsewhere = source === undefined ? "registry" : [source.name];
  const input = { ...commandInput(repository), digest, from: { registryId: registry.id, elsewhere } };
  return repository.database.write(mountBlob, input);
}

/** PATCH: more bytes, with their place in Content-Range or without. */
export async function patchUpload(call: RepositoryCall): Promise<Response> {
  return progress(call, 202, await continueUpload(call.repository, handleOf(call), bodyOf(call)));
}

export async function getUpload(call: RepositoryCall): Promise<Response> {
  return progress(call, 204, await uploadStatus(call.repository, handleOf(call)));
}

/** PUT: the end, with the last bytes or without. */
export async function putUpload(call: RepositoryCall): Promise<Response> {
  const digest = requireDigest(call.query.get("digest") ?? "");
  const body = hasBody(call.request) ? bodyOf(call) : undefined;
  await finishUpload(call.repository, handleOf(call), digest, body);
  return created(call, digest);
}

export async function deleteUpload(call: RepositoryCall): Promise<Response> {
  await cancelUpload(call.repository, handleOf(call));
  return reply(204);
}

function hasBody(request: Request): boolean {
  return request.body !== null && contentLength(request) !== 0;
}

function bodyOf(call: RepositoryCall): UploadBody {
  const { request, notes } = call;
  const length = contentLength(request);
  const header = request.headers.get("content-range");
  const range = header === null ? undefined : parseContentRange(header);
  if (header !== null && range === undefined) throw new BerthError("SIZE_INVALID", "Content-Range is not FIRST-LAST.");
  const announced = range === undefined ? length : range.last - range.first + 1;
  if (length !== undefined && announced !== length) {
    throw new BerthError("SIZE_INVALID", `Content-Range has ${announced} bytes, Content-Length says ${length}.`);
  }
  const counted = async function* (): AsyncGenerator<Uint8Array> {
    for await (const chunk of bodyBytes(request, call.idle)) {
      notes.received += chunk.byteLength;
      yield chunk;
    }
  };
  return { bytes: counted(), announced, offset: range?.first };
}

/** The last segment of an upload's Location: `UUID.EPOCH`. */
function handleOf(call: RepositoryCall): UploadHandle {
  const match = /^([0-9a-f-]{36})\.(\d{1,9})$/.exec(call.reference);
  if (match === null) throw new BerthError("BLOB_UPLOAD_UNKNOWN");
  return { id: match[1] as string, epoch: Number(match[2]) };
}

function progress(call: RepositoryCall, status: number, { id, epoch, size }: UploadProgress): Response {
  return reply(status, {
    location: `${call.base}/blobs/uploads/${id}.${epoch}`,
    range: rangeHeader(size),
    "docker-upload-uuid": id,
  });
}

function created(call: RepositoryCall, digest: Digest): Response {
  return reply(201, { location: `${call.base}/blobs/${digest}`, "docker-content-digest": digest });
}
