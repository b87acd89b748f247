import { BerthError } from "./berth-error.ts";

/** Whom a request waits for: the limit for silence counts for its client alone. */
export interface IdleLimit {
  /** The client is to send, or has sent, bytes: it counts from now. */
  waiting(): void;
  /** We are at work, with no bytes moving: it does not count. */
  working(): void;
}

/**
 * A request's whole body, if it has at most `limit` bytes.
 * @throws BerthError made by `tooLarge`, before more than the limit was kept
 */
export async function readBody(
  request: Request,
  limit: number,
  tooLarge: () => BerthError,
  idle: IdleLimit,
): Promise<Uint8Array<ArrayBuffer>> {
  const announced = contentLength(request);
  if (announced !== undefined && announced > limit) throw tooLarge();
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of bodyBytes(request, idle)) {
    size += chunk.byteLength;
    if (size > limit) throw tooLarge();
    chunks.push(chunk);
  }
  const [only] = chunks;
  if (chunks.length === 1 && only !== undefined) return only as Uint8Array<ArrayBuffer>;
  return Buffer.concat(chunks, size);
}

/** The bytes of a body as they arrive. */
export async function* bodyBytes(request: Request, idle: IdleLimit): AsyncGenerator<Uint8Array> {
  if (request.body === null) return;
  idle.waiting();
  try {
    for await (const chunk of request.body) {
      idle.waiting();
      yield chunk;
      collectAfter(chunk.byteLength);
    }
  } finally {
    idle.working();
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
