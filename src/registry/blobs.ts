import { BerthError } from "../http/berth-error.ts";
import { parseRange } from "../http/ranges.ts";
import { deleteBlob, findBlob, openBlob, type StoredBlob } from "../images/blobs.ts";
import { type Digest, parseDigest } from "../names/digest.ts";
import { countedStream } from "./counted-stream.ts";
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
  const header = call.request.headers.get("range");
  const range =
    header === null || !isSameContent(call.request, headers.etag) ? undefined : parseRange(header, blob.size);
  if (range === "unsatisfiable") {
    throw new BerthError("RANGE_INVALID", undefined, { headers: { "content-range": `bytes */${blob.size}` } });
  }
  const size = range === undefined ? blob.size : range.last - range.first + 1;
  if (range !== undefined) headers["content-range"] = `bytes ${range.first}-${range.last}/${blob.size}`;
  const status = range === undefined ? 200 : 206;
  call.notes.sent = size;
  const body = await openBlob(call.repository, blob, range);
  if (body.kind === "bytes") return new Response(body.bytes, { status, headers });
  if (body.kind === "stream") return new Response(countedStream(body.stream, size), { status, headers });
  const file = Bun.file(body.path);
  // A slice even of the whole: Bun then leaves the Range header to us.
  return new Response(range === undefined ? file.slice(0, blob.size) : file.slice(range.first, range.last + 1), {
    status,
    headers,
  });
}

/** Whether a Range is of the content that the client has begun with: If-Range names its ETag. [RFC 9110 section 13.1.5] */
function isSameContent({ headers }: Request, etag: string): boolean {
  const condition = headers.get("if-range");
  return condition === null || condition === etag;
}

export async function removeBlob(call: RepositoryCall): Promise<Response> {
  await deleteBlob(call.repository, requireDigest(call.reference));
  return reply(202);
}
