import { BerthError } from "../http/berth-error.ts";

export const apiVersion = { "docker-distribution-api-version": "registry/2.0" };

/** The largest page of any listing; a larger `n` gets a page of this size and a Link. */
export const maxPage = 10_000;

/** An error in the registry protocol's own form. [OCI distribution-spec, "Error Codes"] */
export function errorReply(error: BerthError): Response {
  const one = {
    code: error.code,
    message: error.message,
    ...(error.detail === undefined ? {} : { detail: error.detail }),
  };
  const errors = [one, ...error.others.map((other) => ({ code: error.code, ...other }))];
  return Response.json({ errors }, { status: error.status, headers: { ...apiVersion, ...error.headers } });
}

export function reply(status: number, headers: Record<string, string> = {}): Response {
  return new Response(null, { status, headers: { ...apiVersion, ...headers } });
}

/** `n` of a listing: `undefined` where it is absent. @throws BerthError PAGINATION_INVALID */
export function pageSize(query: URLSearchParams): number | undefined {
  const text = query.get("n");
  if (text === null) return undefined;
  if (!/^\d{1,15}$/.test(text))
    throw new BerthError("PAGINATION_INVALID", `"n" is not a whole number: "${text.slice(0, 20)}".`);
  return Math.min(Number(text), maxPage);
}

/** Link to the page after `last`. [RFC 8288; OCI distribution-spec, "Listing Tags"] */
export function nextLink(path: string, query: Record<string, string>): Record<string, string> {
  return { link: `<${path}?${new URLSearchParams(query)}>; rel="next"` };
}

/** Whether an If-None-Match names this digest, so that the client has the bytes already. [RFC 9110 section 13.1.2] */
export function isNotModified(request: Request, digest: string): boolean {
  const header = request.headers.get("if-none-match");
  if (header === null) return false;
  return header.split(",").some((tag) => {
    const text = tag.trim();
    return text === "*" || text === `"${digest}"` || text === `W/"${digest}"`;
  });
}

/** Sends JSON piece by piece as the client takes it; an error on the way resets the connection. */
export function streamJson(pieces: AsyncGenerator<string>, headers: Record<string, string>): Response {
  const encoder = new TextEncoder();
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      let text = "";
      while (text.length < 64 * 1024) {
        const next = await pieces.next();
        if (next.done === true) {
          if (text !== "") controller.enqueue(encoder.encode(text));
          controller.close();
          return;
        }
        text += next.value;
      }
      controller.enqueue(encoder.encode(text));
    },
    async cancel() {
      await pieces.return(undefined);
    },
  });
  return new Response(stream, { headers: { ...apiVersion, "content-type": "application/json", ...headers } });
}
