import { connect, type Socket } from "node:net";

/** How a client goes away: with RST, with FIN, or with FIN while it goes on listening. */
export type Leaving = "reset" | "close" | "half-close";

export interface BrokenRequest {
  method: string;
  path: string;
  headers?: Record<string, string>;
  /** Sent with its whole length announced, unless `chunked`. */
  body?: Buffer;
  /** `true`: with chunked transfer encoding, as docker sends layers. */
  chunked?: boolean;
  /** Bytes of the body after which the client leaves. Where that is all of it, it may still wait for the reply. */
  sent?: number;
  /** Bytes of the reply, its head included, after which the client leaves. */
  received?: number;
  leaving: Leaving;
}

/** Sends a request and leaves on the way. Resolves when the connection is gone on the client's side. */
export async function breakOff(port: number, request: BrokenRequest): Promise<void> {
  const { body = Buffer.alloc(0), chunked = false, received, leaving } = request;
  const sent = Math.min(request.sent ?? body.length, body.length);
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  const closed = new Promise<void>((resolve) => {
    socket.on("close", () => resolve());
  });
  // A server that goes away first is no error here: what it did wrong shows elsewhere.
  socket.on("error", () => socket.destroy());
  const heard = received === undefined ? undefined : receive(socket, received);
  socket.write(headOf(request, body.length));
  if (chunked && sent > 0) {
    // The end of the last chunk is missing, so that the body is not complete however much of it was sent.
    socket.write(`${body.length.toString(16)}\r\n`);
  }
  await new Promise<void>((resolve) => {
    socket.write(body.subarray(0, sent), () => resolve());
    socket.on("close", () => resolve());
  });
  await heard;
  leave(socket, leaving);
  await closed;
}

function headOf({ method, path, headers = {}, chunked = false }: BrokenRequest, length: number): string {
  const framing = chunked ? "transfer-encoding: chunked" : `content-length: ${length}`;
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  return [`${method} ${path} HTTP/1.1`, "host: localhost", framing, ...lines, "", ""].join("\r\n");
}

/** Resolves once so many bytes came, or no more will come. */
function receive(socket: Socket, bytes: number): Promise<void> {
  return new Promise((resolve) => {
    let left = bytes;
    socket.on("data", (part: Buffer) => {
      left -= part.length;
      if (left <= 0) resolve();
    });
    socket.on("end", () => resolve());
    socket.on("close", () => resolve());
  });
}

function leave(socket: Socket, leaving: Leaving): void {
  if (leaving === "reset") socket.resetAndDestroy();
  else if (leaving === "close") socket.destroy();
  else {
    // The server decides when it is over: an answer, or an end.
    socket.on("end", () => socket.destroy());
    socket.on("data", () => {});
    socket.end();
  }
}
