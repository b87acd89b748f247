import { EgressError, egressErrorOf } from "./egress-error.ts";

/** How bytes are read from a reply. */
export interface Reading {
  host: string;
  /** Counted after inflation. */
  maxBytes: number;
  signal: AbortSignal;
  /** We wait for the other side from now on. */
  waiting?: () => void;
  /** We do not. */
  working?: () => void;
}

/** Content codings that Bun inflates. [RFC 9110 section 8.4.1, RFC 8878] */
const formats: Record<string, Bun.CompressionFormat> = {
  gzip: "gzip",
  "x-gzip": "gzip",
  deflate: "deflate",
  br: "brotli",
  zstd: "zstd",
};

/** What a coding that was undone leaves of the headers. */
export function decodedHeaders({ headers }: Response): Headers {
  const left = new Headers(headers);
  if (codingOf(headers) === "") return left;
  for (const name of ["content-encoding", "content-length"]) left.delete(name);
  return left;
}

/**
 * The bytes of a reply's body, inflated, as they arrive; inflation goes no further than they are read.
 * @throws EgressError `too-large` before more than the limit was given, or `connection`; the signal's reason if it was
 * aborted
 */
export async function* bodyBytes(response: Response, reading: Reading): AsyncGenerator<Uint8Array> {
  const { host, maxBytes, signal, waiting, working } = reading;
  // HEAD, 204 and 304 have headers of a body and none; an empty body is no gzip file.
  const announced = response.headers.get("content-length");
  if (response.body === null || announced === "0") return;
  const tooLarge = (): EgressError => new EgressError("too-large", host, `the body has more than ${maxBytes} bytes`);
  const coding = codingOf(response.headers);
  if (coding === "" && Number(announced) > maxBytes) throw tooLarge();
  const reader = decoded(host, response.body, coding).getReader();
  let size = 0;
  for (;;) {
    waiting?.();
    const { done, value } = await reader.read().catch((error: unknown) => {
      signal.throwIfAborted();
      throw egressErrorOf(host, error);
    });
    working?.();
    if (done) return;
    size += value.byteLength;
    if (size > maxBytes) throw tooLarge();
    yield value;
  }
}

function decoded(host: string, body: ReadableStream<Uint8Array>, coding: string): ReadableStream<Uint8Array> {
  if (coding === "") return body;
  const format = formats[coding];
  if (format === undefined) throw new EgressError("connection", host, "the body has an unknown content coding");
  return body.pipeThrough(new DecompressionStream(format as CompressionFormat) as ReadableWritablePair);
}

/** Empty if the bytes are as they are. */
function codingOf(headers: Headers): string {
  const coding = headers.get("content-encoding")?.trim().toLowerCase() ?? "";
  return coding === "identity" ? "" : coding;
}
