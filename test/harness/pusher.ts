import { createHash } from "node:crypto";
import { digestOf } from "./image-layout.ts";

/** How a pusher reaches one repository. */
export interface PusherOptions {
  /** `http://HOST:PORT`, or https. */
  url: string;
  repository: string;
  /** Value of the header Authorization. */
  authorization: string;
  /** Called whenever a part of a body was handed over and whenever a reply came. */
  step?: () => void;
  /** The authority that vouches for an https server, in PEM. */
  ca?: string;
}

/** A manifest as bytes. */
export interface Manifest {
  bytes: Buffer;
  mediaType: string;
}

/** Where an upload stands, as the last reply said. */
export interface Progress {
  /** To be used for the next request, once. */
  location: string;
  size: number;
}

/** The registry answered something else than what the protocol has for a request that is in order. */
export class UnexpectedReply extends Error {
  override readonly name = "UnexpectedReply";
  readonly status: number;

  constructor(request: string, status: number, text: string) {
    super(`${request}: ${status} ${text.slice(0, 500)}`);
    this.status = status;
  }
}

interface Sent extends RequestInit {
  headers?: Record<string, string>;
}

/** A client that pushes to and pulls from one repository as docker does, and can do every other way too. */
export class Pusher {
  readonly #options: PusherOptions;

  constructor(options: PusherOptions) {
    this.#options = options;
  }

  /** Begins an upload. */
  async start(): Promise<Progress> {
    return progressOf(await this.#send("POST", "/blobs/uploads/", 202));
  }

  /** Adds bytes in pieces of `piece` bytes, without a length, as docker sends a layer. */
  async stream(location: string, bytes: Uint8Array, piece = 1 << 16): Promise<Progress> {
    return progressOf(await this.#send("PATCH", location, 202, { body: this.#pieces(bytes, piece) }));
  }

  /** Adds bytes with their place in Content-Range. */
  async chunk(location: string, bytes: Uint8Array, offset: number): Promise<Progress> {
    const headers = { "content-range": `${offset}-${offset + bytes.length - 1}` };
    return progressOf(await this.#send("PATCH", location, 202, { headers, body: bodyOf(bytes) }));
  }

  /** Where an upload stands; `undefined` if the registry does not know it. */
  async status(location: string): Promise<Progress | undefined> {
    const reply = await this.#send("GET", location, [204, 404]);
    return reply.status === 404 ? undefined : progressOf(reply);
  }

  /** Ends an upload, with its last bytes or without. */
  async close(location: string, digest: string, bytes?: Uint8Array): Promise<void> {
    const body = bytes === undefined ? {} : { body: bodyOf(bytes) };
    await this.#send("PUT", `${location}?digest=${digest}`, 201, body);
  }

  async cancel(location: string): Promise<void> {
    await this.#send("DELETE", location, 204);
  }

  /** A blob in one request. */
  async uploadWhole(digest: string, bytes: Uint8Array): Promise<void> {
    await this.#send("POST", `/blobs/uploads/?digest=${digest}`, 201, { body: bodyOf(bytes) });
  }

  /** A blob as docker pushes it: POST, PATCH, PUT. */
  async upload(digest: string, bytes: Uint8Array): Promise<void> {
    const { location } = await this.start();
    await this.close((await this.stream(location, bytes)).location, digest);
  }

  /** Mounts a blob of another repository. @returns the upload that the registry began instead, where it cannot */
  async mount(digest: string, from: string): Promise<Progress | undefined> {
    const reply = await this.#send("POST", `/blobs/uploads/?mount=${digest}&from=${from}`, [201, 202]);
    return reply.status === 201 ? undefined : progressOf(reply);
  }

  /** @param tags set along with a push by digest */
  async putManifest(reference: string, { bytes, mediaType }: Manifest, tags: readonly string[] = []): Promise<void> {
    const query = tags.length === 0 ? "" : `?${tags.map((tag) => `tag=${tag}`).join("&")}`;
    const init = { headers: { "content-type": mediaType }, body: bodyOf(bytes) };
    const reply = await this.#send("PUT", `/manifests/${reference}${query}`, 201, init);
    if (reply.headers.get("docker-content-digest") !== digestOf(bytes))
      throw new Error(`the registry took ${reference} for ${reply.headers.get("docker-content-digest")}`);
  }

  /** Takes away a tag or, by digest, a manifest. */
  async removeManifest(reference: string): Promise<void> {
    await this.#send("DELETE", `/manifests/${reference}`, 202);
  }

  async removeBlob(digest: string): Promise<void> {
    await this.#send("DELETE", `/blobs/${digest}`, 202);
  }

  /** A manifest's bytes, verified; `undefined` where there is none. @throws Error if they are not what was asked for */
  async manifest(reference: string): Promise<(Manifest & { digest: string }) | undefined> {
    const reply = await this.#send("GET", `/manifests/${reference}`, [200, 404]);
    if (reply.status === 404) return undefined;
    const bytes = Buffer.from(await reply.arrayBuffer());
    const digest = digestOf(bytes);
    const stated = [reply.headers.get("docker-content-digest"), reference.includes(":") ? reference : digest];
    if (stated.some((each) => each !== digest)) throw new Error(`${reference} came as ${digest}, stated ${stated}`);
    return { bytes, digest, mediaType: reply.headers.get("content-type") ?? "" };
  }

  /**
   * The size of a blob after it was pulled and verified; `undefined` where there is none.
   * @throws Error if the bytes have another digest, or HEAD says another length
   */
  async blob(digest: string): Promise<number | undefined> {
    const reply = await this.#send("GET", `/blobs/${digest}`, [200, 404]);
    if (reply.status === 404 || reply.body === null) return undefined;
    const head = await this.#send("HEAD", `/blobs/${digest}`, 200);
    const hash = createHash("sha256");
    let size = 0;
    for await (const part of reply.body) {
      hash.update(part);
      size += part.byteLength;
    }
    const found = `sha256:${hash.digest("hex")}`;
    if (found !== digest) throw new Error(`${digest} came as ${found}, ${size} bytes`);
    const length = Number(head.headers.get("content-length"));
    if (length !== size) throw new Error(`${digest} has ${size} bytes, HEAD says ${length}`);
    return size;
  }

  /** All tags; none where the repository is not known. */
  async tags(): Promise<string[]> {
    const reply = await this.#send("GET", "/tags/list", [200, 404]);
    return reply.status === 404 ? [] : ((await reply.json()) as { tags: string[] }).tags;
  }

  async #send(method: string, path: string, expected: number | number[], init: Sent = {}): Promise<Response> {
    const { url, repository, authorization, step, ca } = this.#options;
    const place = path.startsWith("/v2/") ? path : `/v2/${repository}${path}`;
    const headers = { ...init.headers, authorization };
    const tls = ca === undefined ? {} : { tls: { ca } };
    // On a connection that was used before, Bun would send a request without a body again when its reply is cut off.
    const reply = await fetch(url + place, { ...init, method, headers, keepalive: false, ...tls });
    if (![expected].flat().includes(reply.status))
      throw new UnexpectedReply(`${method} ${place}`, reply.status, await reply.text());
    step?.();
    return reply;
  }

  #pieces(bytes: Uint8Array, piece: number): ReadableStream<Uint8Array> {
    const { step } = this.#options;
    let at = 0;
    return new ReadableStream({
      pull(controller) {
        if (at >= bytes.length) {
          controller.close();
          return;
        }
        controller.enqueue(bytes.subarray(at, at + piece));
        at += piece;
        step?.();
      },
    });
  }
}

function bodyOf(bytes: Uint8Array): Blob {
  return new Blob([bytes as Uint8Array<ArrayBuffer>]);
}

/**
 * The header says the same of no byte and of one: whoever resumes uploads must not leave one at a single byte.
 * @throws Error on a reply that does not say where the upload stands
 */
function progressOf(reply: Response): Progress {
  const location = reply.headers.get("location");
  const range = /^0-(\d+)$/.exec(reply.headers.get("range") ?? "")?.[1];
  if (location === null || range === undefined) throw new Error("a reply without Location or Range");
  return { location, size: range === "0" ? 0 : Number(range) + 1 };
}
