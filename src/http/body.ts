import { BerthError } from "./berth-error.ts";

/**
 * A request's whole body, if it has at most `limit` bytes.
 * @param progress called as bytes arrive
 * @throws BerthError made by `tooLarge`, before more than the limit was kept
 */
export async function readBody(
  request: Request,
  limit: number,
  tooLarge: () => BerthError,
  progress: () => void,
): Promise<Uint8Array<ArrayBuffer>> {
  const announced = contentLength(request);
  if (announced !== undefined && announced > limit) throw tooLarge();
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of bodyBytes(request, progress)) {
    size += chunk.byteLength;
    if (size > limit) throw tooLarge();
    chunks.push(chunk);
  }
  const [only] = chunks;
  if (chunks.length === 1 && only !== undefined) return only as Uint8Array<ArrayBuffer>;
  return Buffer.concat(chunks, size);
}

/** The bytes of a body as they arrive; `progress` is called with each part. */
export async function* bodyBytes(request: Request, progress: () => void): AsyncGenerator<Uint8Array> {
  if (request.body === null) return;
  for await (const chunk of request.body) {
    progress();
    yield chunk;
    collectAfter(chunk.byteLength);
  }
}

const collectEach = 32 * 1024 * 1024;
let sinceCollection = 0;

/**
 * The chunks of bodies lie outside the heap, where the runtime's collector does not feel them: a burst of uploads
 * would take as much memory as it has bytes before the first collection. One each 32 MiB costs a few milliseconds.
 */
function collectAfter(bytes: number): void {
  sinceCollection += bytes;
  if (sinceCollection < collectEach) return;
  sinceCollection = 0;
  Bun.gc(false);
}

/** @throws BerthError SIZE_INVALID if the header is not a length */
export function contentLength(request: Request): number | undefined {
  const header = request.headers.get("content-length");
  if (header === null) return undefined;
  const length = Number(header);
  if (!Number.isSafeInteger(length) || length < 0)
    throw new BerthError("SIZE_INVALID", "Content-Length is not a length.");
  return length;
}
