import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from "node:http2";
import type { BrokenRequest } from "./broken-request.ts";

/** As `breakOff`, over HTTP/2: `reset` cancels the one stream, `close` takes the connection away, with whatever else is on it. */
export class Http2Breaker {
  readonly #url: string;
  readonly #ca: string;
  #session: ClientHttp2Session | undefined;

  constructor(url: string, ca: string) {
    this.#url = url;
    this.#ca = ca;
  }

  async breakOff({ method, path, headers = {}, ...request }: BrokenRequest): Promise<void> {
    const { body = Buffer.alloc(0), chunked = false, received, leaving } = request;
    const sent = Math.min(request.sent ?? body.length, body.length);
    const session = this.#open();
    const length = chunked ? {} : { "content-length": String(body.length) };
    const stream = session.request({ ":method": method, ":path": path, ...length, ...headers }, { endStream: false });
    const closed = new Promise<void>((resolve) => {
      stream.on("close", () => resolve());
      session.on("close", () => resolve());
    });
    stream.on("error", () => {});
    const heard = received === undefined ? undefined : receive(stream, received);
    if (method === "GET") stream.end();
    else if (sent > 0)
      await Promise.race([closed, new Promise<void>((done) => stream.write(body.subarray(0, sent), () => done()))]);
    await Promise.race([heard, closed]);
    if (leaving === "close") session.destroy();
    else if (leaving === "reset" || method === "GET" || sent === body.length) stream.close(constants.NGHTTP2_CANCEL);
    else {
      // An end before the announced length; without one it would be a shorter body, which is whole.
      if (chunked) stream.close(constants.NGHTTP2_CANCEL);
      else stream.end();
      stream.resume();
    }
    await closed;
  }

  close(): void {
    this.#session?.destroy();
  }

  #open(): ClientHttp2Session {
    if (this.#session === undefined || this.#session.destroyed || this.#session.closed) {
      this.#session = connect(this.#url, { ca: this.#ca });
      this.#session.setMaxListeners(100);
      this.#session.on("error", () => {});
    }
    return this.#session;
  }
}

/** Resolves once so many bytes of the body came, or no more will come. */
function receive(stream: ClientHttp2Stream, bytes: number): Promise<void> {
  return new Promise((resolve) => {
    let left = bytes;
    stream.on("data", (part: Buffer) => {
      left -= part.length;
      if (left <= 0) resolve();
    });
    stream.on("end", () => resolve());
  });
}
