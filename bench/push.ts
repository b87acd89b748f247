import { manifestType, repository } from "./content.ts";
import type { Peer } from "./peers.ts";

const tls = { rejectUnauthorized: false };

/** POST, PATCH, PUT, as docker pushes a layer. */
export async function pushBlob(peer: Peer, name: string, digest: string, body: Uint8Array<ArrayBuffer>): Promise<void> {
  const { headers } = peer;
  const begun = await ask(`${peer.url}/v2/${name}/blobs/uploads/`, { method: "POST", headers }, 202);
  const type = { "content-type": "application/octet-stream" };
  const sent = await ask(locationOf(peer, begun), { method: "PATCH", headers: { ...headers, ...type }, body }, 202);
  const end = new URL(locationOf(peer, sent));
  end.searchParams.set("digest", digest);
  await ask(end.href, { method: "PUT", headers }, 201);
}

/** A layer that lies in a file. */
export interface Layer {
  path: string;
  digest: string;
  size: number;
}

/**
 * Pushes layers at once as docker does each, POST, PATCH, PUT; curl sends the bytes, so that the client takes little of
 * the machine that it shares with the server.
 */
export async function pushLayers(peer: Peer, name: string, layers: readonly Layer[]): Promise<void> {
  const { headers } = peer;
  const begun = await Promise.all(
    layers.map(() => ask(`${peer.url}/v2/${name}/blobs/uploads/`, { method: "POST", headers }, 202)),
  );
  const lines = Object.entries({ ...headers, "content-type": "application/octet-stream", expect: "" });
  const options = [
    "silent",
    "no-progress-meter",
    "show-error",
    "parallel",
    "request = PATCH",
    // A line for each transfer as it ends: which it is, how it went, where it goes on.
    String.raw`write-out = "%{urlnum} %{http_code} %header{location}\n"`,
    ...lines.map(([key, value]) => `header = "${key}:${value === "" ? "" : ` ${value}`}"`),
    ...layers.flatMap(({ path }, i) => [
      `url = "${locationOf(peer, begun[i] as Response)}"`,
      `upload-file = "${path}"`,
      `output = /dev/null`,
    ]),
  ];
  const curl = Bun.spawn(["curl", "--config", "-"], {
    stdin: Buffer.from(options.join("\n")),
    stdout: "pipe",
    stderr: "inherit",
  });
  const ended = (await new Response(curl.stdout).text()).trim().split("\n");
  if (ended.length !== layers.length) throw new Error(`curl sent ${ended.length} of ${layers.length} layers`);
  await Promise.all(
    ended.map(async (line) => {
      const [number, status, location] = line.split(" ") as [string, string, string];
      if (status !== "202") throw new Error(`PATCH: ${status}`);
      const end = new URL(location, peer.url);
      end.searchParams.set("digest", (layers[Number(number)] as Layer).digest);
      await ask(end.href, { method: "PUT", headers }, 201);
    }),
  );
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
