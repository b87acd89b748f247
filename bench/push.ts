import { manifestType, repository } from "./content.ts";
import type { Peer } from "./peers.ts";

const tls = { rejectUnauthorized: false };

/** POST, PATCH, PUT, as docker pushes a layer. */
export async function pushBlob(
  peer: Peer,
  name: string,
  digest: string,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<void> {
  const { headers } = peer;
  const begun = await ask(`${peer.url}/v2/${name}/blobs/uploads/`, { method: "POST", headers }, 202);
  const type = { "content-type": "application/octet-stream" };
  const sent = await ask(
    locationOf(peer, begun),
    { method: "PATCH", headers: { ...headers, ...type }, body: bytes },
    202,
  );
  const end = new URL(locationOf(peer, sent));
  end.searchParams.set("digest", digest);
  await ask(end.href, { method: "PUT", headers }, 201);
}

export async function pushManifest(peer: Peer, name: string, reference: string, bytes: Uint8Array): Promise<void> {
  const headers = { ...peer.headers, "content-type": manifestType };
  await ask(
    `${peer.url}/v2/${name}/manifests/${reference}`,
    { method: "PUT", headers, body: new Uint8Array(bytes) },
    201,
  );
}

/** Puts the content to be pulled on a registry. */
export async function fill(
  peer: Peer,
  content: { blobs: Map<string, Uint8Array>; manifest: Uint8Array },
): Promise<void> {
  for (const [digest, bytes] of content.blobs) await pushBlob(peer, repository, digest, new Uint8Array(bytes));
  await pushManifest(peer, repository, "v1", content.manifest);
}

async function ask(url: string, init: RequestInit, status: number): Promise<Response> {
  const reply = await fetch(url, { ...init, tls } as RequestInit);
  const text = await reply.text();
  if (reply.status !== status) throw new Error(`${init.method} ${url}: ${reply.status} ${text.slice(0, 300)}`);
  return reply;
}

function locationOf(peer: Peer, reply: Response): string {
  return new URL(reply.headers.get("location") ?? "", peer.url).href;
}
