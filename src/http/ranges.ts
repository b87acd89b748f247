/** Bytes `first` to `last`, both included. */
export interface Range {
  first: number;
  last: number;
}

/** At most 15 digits: every such number is exact. */
const number = "(\\d{1,15})";
const bytesRange = new RegExp(`^bytes=(?:${number}-${number}?|-${number})$`);
const contentRange = new RegExp(`^(?:bytes )?${number}-${number}(?:/(?:\\d{1,15}|\\*))?$`);

/**
 * What a request asks for of a body with this ETag; `undefined`: all of it. If-Range names the content that the client
 * has begun with: a range of another would not fit. [RFC 9110 section 13.1.5]
 */
export function requestedRange(headers: Headers, etag: string, size: number): Range | "unsatisfiable" | undefined {
  const header = headers.get("range");
  const condition = headers.get("if-range");
  return header === null || (condition !== null && condition !== etag) ? undefined : parseRange(header, size);
}

/**
 * What a Range header asks of a body of `size` bytes: one range; `undefined` where the header is to be ignored
 * (another unit, several ranges, not well formed); `unsatisfiable` where nothing of it exists, or it is reversed.
 * [RFC 9110 section 14.1.2, 14.2]
 */
export function parseRange(header: string, size: number): Range | "unsatisfiable" | undefined {
  const match = bytesRange.exec(header.trim());
  if (match === null) return undefined;
  const [, from, to, suffix] = match;
  if (suffix !== undefined) {
    const length = Math.min(Number(suffix), size);
    return length === 0 ? "unsatisfiable" : { first: size - length, last: size - 1 };
  }
  const first = Number(from);
  // RFC 9110 would have a reversed range ignored; the conformance suite wants it refused, and a client that sends one
  // is better told than given the whole.
  if (first >= size || (to !== undefined && Number(to) < first)) return "unsatisfiable";
  return { first, last: to === undefined ? size - 1 : Math.min(Number(to), size - 1) };
}

/**
 * The Content-Range of an upload's chunk, `FIRST-LAST` as the distribution specification writes it, or
 * `bytes FIRST-LAST/SIZE` as RFC 9110 does; `undefined` where it is neither or reversed.
 */
export function parseContentRange(header: string): Range | undefined {
  const match = contentRange.exec(header.trim());
  if (match === null) return undefined;
  const range = { first: Number(match[1]), last: Number(match[2]) };
  return range.last < range.first ? undefined : range;
}
