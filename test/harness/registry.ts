import { type Berth, until } from "./berth.ts";
import { digestOf, type Descriptor, type ManifestDocument } from "./image-layout.ts";

/** A manifest as the registry serves it. */
export interface ServedManifest extends ManifestDocument {
  digest: string;
  contentType: string;
  /** The bytes, which are what the digest is about. */
  text: string;
}

/** Asks the registry itself what a client left there. @throws Error unless it answers 200 with the right bytes */
export async function fetchManifest(berth: Berth, repository: string, reference: string): Promise<ServedManifest> {
  const reply = await berth.fetch(`/v2/${repository}/manifests/${reference}`);
  const text = await reply.text();
  if (!reply.ok) throw new Error(`${repository}:${reference}: ${reply.status} ${text}`);
  const digest = reply.headers.get("docker-content-digest") ?? "";
  if (digestOf(text) !== digest) throw new Error(`${repository}:${reference} has another digest than its header says`);
  const document = JSON.parse(text) as ManifestDocument;
  return { ...document, digest, contentType: reply.headers.get("content-type") ?? "", text };
}

export async function manifestStatus(berth: Berth, repository: string, reference: string): Promise<number> {
  return (await berth.fetch(`/v2/${repository}/manifests/${reference}`, { method: "HEAD" })).status;
}

export async function listTags(berth: Berth, repository: string): Promise<string[]> {
  const reply = await berth.fetch(`/v2/${repository}/tags/list`);
  if (!reply.ok) throw new Error(`${repository}: ${reply.status} ${await reply.text()}`);
  return ((await reply.json()) as { tags: string[] }).tags;
}

/** Uploads a blob in one piece. */
export async function pushBlob(
  berth: Berth,
  repository: string,
  content: Uint8Array | string,
  mediaType: string,
): Promise<Descriptor> {
  const digest = digestOf(content);
  const body = typeof content === "string" ? content : new Blob([Buffer.from(content)]);
  const reply = await berth.fetch(`/v2/${repository}/blobs/uploads/?digest=${digest}`, { method: "POST", body });
  if (reply.status !== 201) throw new Error(`blob ${digest}: ${reply.status} ${await reply.text()}`);
  return { mediaType, digest, size: Buffer.byteLength(content) };
}

/** Puts a manifest, under its digest where no tag is given. */
export async function pushManifest(
  berth: Berth,
  repository: string,
  document: ManifestDocument,
  tag?: string,
): Promise<Descriptor> {
  const mediaType = document.mediaType as string;
  const body = JSON.stringify({ schemaVersion: 2, ...document });
  const digest = digestOf(body);
  const headers = { "content-type": mediaType };
  const reply = await berth.fetch(`/v2/${repository}/manifests/${tag ?? digest}`, { method: "PUT", body, headers });
  if (reply.status !== 201) throw new Error(`manifest ${digest}: ${reply.status} ${await reply.text()}`);
  return { mediaType, digest, size: body.length };
}

/** A line of the server's log of requests. */
export interface LoggedRequest {
  method: string;
  path: string;
  status: number;
  /** Address of the client. */
  client: string;
}

/** Every request that the server has answered so far, as its log tells. For a server with one process only. */
export async function loggedRequests(berth: Berth): Promise<LoggedRequest[]> {
  // Lines arrive through a pipe: those before one that we asked for are there once it is.
  const mark = `/v2/my-project/mark-${crypto.randomUUID()}/tags/list`;
  await berth.fetch(mark);
  await until(() => berth.output().includes(mark) || undefined);
  const lines = berth
    .output()
    .split("\n")
    .filter((line) => line.startsWith("{") && line.includes('"message":"request"'));
  return lines.map((line) => JSON.parse(line) as LoggedRequest);
}
