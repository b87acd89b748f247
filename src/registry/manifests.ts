import type { Permission } from "../access/permissions.ts";
import { BerthError } from "../http/berth-error.ts";
import { readBody } from "../http/body.ts";
import { deleteManifest, deleteTag, tagsOfDigest } from "../images/delete-manifest.ts";
import {
  digestOfPush,
  findManifestByDigest,
  findManifestByTag,
  readPayload,
  storeManifest,
  type StoredManifest,
} from "../images/manifests.ts";
import { commandInput } from "../images/repository.ts";
import { type Digest, parseDigest } from "../names/digest.ts";
import { bareMediaType } from "../names/media-types.ts";
import { parseTag } from "../names/reference.ts";
import { manifestResource } from "../names/resources.ts";
import { readableElsewhere } from "./elsewhere.ts";
import { apiVersion, isNotModified, reply } from "./replies.ts";
import type { RepositoryCall } from "./router.ts";

/** The most tags that one push by digest may set. */
const maxTags = 100;

/** GET and HEAD of a manifest: the stored bytes and type, whatever `Accept` says. */
export async function getManifest(call: RepositoryCall): Promise<Response> {
  const { repository, request } = call;
  const manifest = await find(call);
  const headers = {
    ...apiVersion,
    "content-type": manifest.mediaType,
    "docker-content-digest": manifest.digest,
    etag: `"${manifest.digest}"`,
  };
  if (isNotModified(request, manifest.digest)) return new Response(null, { status: 304, headers });
  if (request.method === "HEAD") {
    return new Response(null, { headers: { ...headers, "content-length": String(manifest.size) } });
  }
  call.notes.sent = manifest.size;
  const payload = await readPayload(repository, manifest);
  if (payload === undefined) throw unknown(call);
  return new Response(payload, { headers });
}

async function find(call: RepositoryCall): Promise<StoredManifest> {
  const reference = parseReference(call.reference);
  const manifest =
    "digest" in reference
      ? await findManifestByDigest(call.repository, reference.digest)
      : await findManifestByTag(call.repository, reference.tag);
  if (manifest === undefined) throw unknown(call);
  return manifest;
}

/** PUT of a manifest by tag, or by digest with any number of `?tag=`. */
export async function putManifest(call: RepositoryCall): Promise<Response> {
  const { repository, request, query } = call;
  const reference = parseReference(call.reference);
  const extra = "digest" in reference ? parseTags(query.getAll("tag")) : [];
  const limit = repository.limits.manifestSize;
  const tooLarge = (): BerthError => new BerthError("MANIFEST_TOO_LARGE", `A manifest has at most ${limit} bytes.`);
  const payload = await readBody(request, limit, tooLarge, call.idle);
  const digest = digestOfPush(payload, "digest" in reference ? reference.digest : undefined);
  if (digest === undefined)
    throw new BerthError("DIGEST_INVALID", `The bytes do not have the digest ${call.reference}.`);
  const tags = "digest" in reference ? extra : [reference.tag];
  await requireTags(call, extra);
  const document = await storeManifest(repository, {
    payload,
    contentType: bareMediaType(request.headers.get("content-type") ?? ""),
    digest,
    tags,
    movable: await tagsWithRight(call, "storage.objects.delete", tags),
    elsewhere: await readableElsewhere(call),
  });
  const response = reply(201, { location: `${call.base}/manifests/${digest}`, "docker-content-digest": digest });
  if (document.subject !== null) response.headers.set("oci-subject", document.subject);
  for (const tag of extra) response.headers.append("oci-tag", tag);
  return response;
}

/** DELETE of a tag or, by digest, of the manifest. 202, as Container Registry and the specification have it. */
export async function removeManifest(call: RepositoryCall): Promise<Response> {
  const { repository } = call;
  const reference = parseReference(call.reference);
  if ("tag" in reference) {
    await repository.database.write(deleteTag, { ...commandInput(repository), tag: reference.tag });
  } else {
    const { digest } = reference;
    const { protectReferenced } = call.requested;
    const removable = await removableTags(call, digest);
    await repository.database.write(deleteManifest, {
      ...commandInput(repository),
      digest,
      protectReferenced,
      removable,
    });
  }
  return reply(202);
}

const allTags = "*";

/** Those of `tags` on which the caller has the permission. */
async function tagsWithRight(call: RepositoryCall, permission: Permission, tags: string[]): Promise<string[]> {
  const { repository } = call;
  const having: string[] = [];
  for (const tag of tags) {
    const resource = manifestResource(repository.resource, tag);
    if (await repository.may({ permission, resource, project: call.project })) having.push(tag);
  }
  return having;
}

/** A push by digest is allowed on the digest; the tags that it sets are asked about here. @throws BerthError DENIED */
async function requireTags(call: RepositoryCall, tags: string[]): Promise<void> {
  const allowed = await tagsWithRight(call, "storage.objects.create", tags);
  const refused = tags.find((tag) => !allowed.includes(tag));
  if (refused !== undefined) {
    throw new BerthError("DENIED", `Permission denied for "${refused}" from request "${call.path}".`);
  }
}

/** Which tags may go with a manifest: a condition may allow some of them only. */
async function removableTags(call: RepositoryCall, digest: string): Promise<"all" | string[]> {
  const permission = "storage.objects.delete";
  if ((await tagsWithRight(call, permission, [allTags])).length > 0) return "all";
  return tagsWithRight(call, permission, await tagsOfDigest(call.repository, digest));
}

/** @throws BerthError DIGEST_INVALID, TAG_INVALID */
export function parseReference(text: string): { tag: string } | { digest: Digest } {
  if (text.includes(":")) {
    const digest = parseDigest(text);
    if (digest === undefined)
      throw new BerthError("DIGEST_INVALID", undefined, { detail: { digest: text.slice(0, 200) } });
    return { digest };
  }
  return { tag: requireTag(text) };
}

function parseTags(list: string[]): string[] {
  if (list.length > maxTags) throw new BerthError("TAGS_TOO_MANY");
  return [...new Set(list.map(requireTag))];
}

function requireTag(text: string): string {
  const tag = parseTag(text);
  if (tag === undefined) throw new BerthError("TAG_INVALID", undefined, { detail: { tag: text.slice(0, 200) } });
  return tag;
}

/** In Container Registry's words. [kubernetes/release#2913] */
function unknown({ reference, path }: RepositoryCall): BerthError {
  return new BerthError("MANIFEST_UNKNOWN", `Failed to fetch "${reference}" from request "${path}".`);
}
