import { countedStream } from "../http/counted-stream.ts";
import type { Range } from "../http/ranges.ts";
import { openBlob, type StoredBlob } from "./blobs.ts";
import type { Repository } from "./repository.ts";

/** A blob, or a range of it, as a response with these headers. */
export async function sendBlob(
  on: Pick<Repository, "store" | "cache">,
  blob: StoredBlob,
  range: Range | undefined,
  headers: Record<string, string>,
): Promise<Response> {
  const size = range === undefined ? blob.size : range.last - range.first + 1;
  const all = { ...headers, ...(range && { "content-range": `bytes ${range.first}-${range.last}/${blob.size}` }) };
  const init = { status: range === undefined ? 200 : 206, headers: all };
  const body = await openBlob(on, blob, range);
  if (body.kind === "bytes") return new Response(body.bytes, init);
  if (body.kind === "stream")
    return new Response(countedStream(body.stream, size, range === undefined ? blob.digest : undefined), init);
  const file = Bun.file(body.path);
  // A slice even of the whole: Bun then leaves the Range header to us.
  return new Response(range === undefined ? file.slice(0, blob.size) : file.slice(range.first, range.last + 1), init);
}
