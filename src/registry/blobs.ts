import { BerthError } from "../http/berth-error.ts";
import { requestedRange } from "../http/ranges.ts";
import { deleteBlob, findBlob, type StoredBlob } from "../images/blobs.ts";
import { sendBlob } from "../images/send-blob.ts";
import { type Digest, parseDigest } from "../names/digest.ts";
import { apiVersion, isNotModified, reply } from "./replies.ts";
import type { RepositoryCall } from "./router.ts";

export function requireDigest(text: string): Digest {
  const digest = parseDigest(text);
  if (digest === undefined)
    throw new BerthError("DIGEST_INVALID", undefined, { detail: { digest: text.slice(0, 200) } });
  return digest;
}

function headersOf(digest: Digest): Record<string, string> & { etag: string } {
  return {
    ...apiVersion,
    "content-type": "application/octet-stream",
    // Bun would name the file on the server's disk here.
    "content-disposition": "attachment",
    "docker-content-digest": digest,
    "accept-ranges": "bytes",
    etag: `"${digest}"`,
  };
}

async function requireBlob(call: RepositoryCall): Promise<StoredBlob> {
  const digest = requireDigest(call.reference);
  const blob = await findBlob(call.repository, digest);
  if (blob === undefined) throw new BerthError("BLOB_UNKNOWN", undefined, { detail: { digest } });
  return blob;
}

export async function headBlob(call: RepositoryCall): Promise<Response> {
  const blob = await requireBlob(call);
  const headers = headersOf(blob.digest);
  if (isNotModified(call.request, blob.digest)) return new Response(null, { status: 304, headers });
  return new Response(null, { headers: { ...headers, "content-length": String(blob.size) } });
}

export async function getBlob(call: RepositoryCall): Promise<Response> {
  const blob = await requireBlob(call);
  const headers = headersOf(blob.digest);
  if (isNotModified(call.request, blob.digest)) return new Response(null, { status: 304, headers });
  const range = requestedRange(call.request.headers, headers.etag, blob.size);
  if (range === "unsatisfiable") {
    throw new BerthError("RANGE_INVALID", undefined, { headers: { "content-range": `bytes */${blob.size}` } });
  }
  call.notes.sent = range === undefined ? blob.size : range.last - range.first + 1;
  return sendBlob(call.repository, blob, range, headers);
}

export async function removeBlob(call: RepositoryCall): Promise<Response> {
  await deleteBlob(call.repository, requireDigest(call.reference));
  return reply(202);
}
