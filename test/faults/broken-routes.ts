import { digestOf, mediaTypes } from "../harness/image-layout.ts";
import type { Pusher } from "../harness/pusher.ts";
import type { BrokenRequest, Leaving } from "./broken-request.ts";
import { type Content, contentBytes, makeContent, type Random } from "./random.ts";

/** A repository with something in it for every route that streams. */
export interface Site {
  breakOff(request: BrokenRequest): Promise<void>;
  authorization: string;
  repository: string;
  pusher: Pusher;
  blob: Content;
  /** Bytes of the repository's listing. */
  listing: number;
}

/** One request of a route, left at a random point, and what a client then does about it. */
type Break = (site: Site, random: Random) => Promise<void>;

const uploadSize = 1 << 20;

export const downloads: Record<string, Break> = {
  "GET blob": (site, random) => read(site, random, `blobs/${site.blob.digest}`, site.blob.size),
  "GET blob by range": (site, random) => {
    const first = random.between(0, site.blob.size - 1);
    const last = random.between(first, site.blob.size - 1);
    const headers = { range: `bytes=${first}-${last}` };
    return read(site, random, `blobs/${site.blob.digest}`, last - first + 1, headers);
  },
  "GET tags": (site, random) => read(site, random, "tags/list", site.listing),
};

export const uploads: Record<string, Break> = {
  "PATCH, streamed": async (site, random) => {
    const { location } = await site.pusher.start();
    await send(site, random, { method: "PATCH", path: location, body: someBytes(random), chunked: true });
    await giveUp(site.pusher, location);
  },
  "PATCH, a chunk with its range": async (site, random) => {
    const { location } = await site.pusher.start();
    const body = someBytes(random);
    const headers = { "content-range": `0-${body.length - 1}` };
    await send(site, random, { method: "PATCH", path: location, headers, body });
    await giveUp(site.pusher, location);
  },
  "PUT with the last bytes": async (site, random) => {
    const bytes = someBytes(random);
    const half = bytes.length >> 1;
    const { location } = await site.pusher.stream((await site.pusher.start()).location, bytes.subarray(0, half));
    const path = `${location}?digest=${digestOf(bytes)}`;
    await send(site, random, { method: "PUT", path, body: bytes.subarray(half) });
    await giveUp(site.pusher, location);
    await completeOrAbsent(site.pusher, bytes);
  },
  "POST with all bytes": async (site, random) => {
    const body = someBytes(random);
    const path = `/v2/${site.repository}/blobs/uploads/?digest=${digestOf(body)}`;
    await send(site, random, { method: "POST", path, body });
    await completeOrAbsent(site.pusher, body);
  },
  "PUT manifest": async (site, random) => {
    const annotations = { padding: someBytes(random).toString("base64").slice(0, random.between(0, 300_000)) };
    const document = { schemaVersion: 2, mediaType: mediaTypes.index, manifests: [], annotations };
    const body = Buffer.from(JSON.stringify(document));
    const path = `/v2/${site.repository}/manifests/left`;
    await send(site, random, { method: "PUT", path, headers: { "content-type": mediaTypes.index }, body });
    // Verified against its digest.
    await site.pusher.manifest("left");
  },
};

/** Leaves somewhere from before the reply begins up to its end. */
async function read(
  { breakOff, authorization, repository }: Site,
  random: Random,
  place: string,
  size: number,
  headers: Record<string, string> = {},
): Promise<void> {
  const received = random.chance(0.1) ? 0 : random.size(size);
  const path = `/v2/${repository}/${place}`;
  const request = { method: "GET", path, headers: { ...headers, authorization }, leaving: someLeaving(random) };
  await breakOff(received === 0 ? request : { ...request, received });
}

/** Leaves somewhere in the body, or after it without reading the reply. */
async function send(
  { breakOff, authorization }: Site,
  random: Random,
  request: Omit<BrokenRequest, "leaving"> & { body: Buffer },
): Promise<void> {
  const { length } = request.body;
  const sent = random.chance(0.15) ? length : random.between(0, length);
  const headers = { ...request.headers, authorization };
  await breakOff({ ...request, headers, sent, leaving: someLeaving(random) });
}

function someLeaving(random: Random): Leaving {
  return random.pick(["reset", "close", "half-close"]);
}

function someBytes(random: Random): Buffer {
  return contentBytes(makeContent(random, random.between(2, uploadSize)));
}

/** Asks where the upload stands, which fences off whoever still writes to it, and cancels it. */
async function giveUp(pusher: Pusher, location: string): Promise<void> {
  const progress = await pusher.status(location);
  // It was complete when the client left.
  if (progress !== undefined) await pusher.cancel(progress.location);
}

async function completeOrAbsent(pusher: Pusher, bytes: Uint8Array): Promise<void> {
  const size = await pusher.blob(digestOf(bytes));
  if (size !== undefined && size !== bytes.length) throw new Error(`a blob of ${bytes.length} bytes has ${size}`);
}
