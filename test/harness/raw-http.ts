import { connect, type Socket } from "node:net";

/** A reply as it came over the socket. */
export interface RawReply {
  status: number;
  headers: Headers;
  body: Buffer;
}

export interface RawOptions {
  /** How many replies to wait for; fewer come back where the server closes first. */
  replies?: number;
  /** Close our side after sending, while the reply may still come. */
  halfClose?: boolean;
}

const patience = 10_000;

/**
 * Sends bytes exactly as they are, one character a byte, and reads the replies to them.
 * @throws Error if neither the replies nor the connection's end come in time
 */
export async function rawExchange(port: number, request: string, options: RawOptions = {}): Promise<RawReply[]> {
  const { replies = 1, halfClose = false } = options;
  const socket = connect({ host: "127.0.0.1", port });
  try {
    return await new Promise<RawReply[]>((resolve, reject) => {
      let received = Buffer.alloc(0);
      const timer = setTimeout(
        () => reject(new Error(`no reply in ${patience} ms; so far: ${received.toString("latin1").slice(0, 500)}`)),
        patience,
      );
      const finish = (): void => {
        clearTimeout(timer);
        resolve(parseReplies(received));
      };
      socket.on("connect", () => {
        if (halfClose) socket.end(request, "latin1");
        else socket.write(request, "latin1");
      });
      socket.on("data", (chunk: Buffer) => {
        received = Buffer.concat([received, chunk]);
        if (parseReplies(received).length >= replies) finish();
      });
      socket.on("end", finish);
      socket.on("close", finish);
      // A reset after the reply is as good as a close: what was read counts.
      socket.on("error", finish);
    });
  } finally {
    socket.destroy();
  }
}

/** The one reply to a request. @throws Error if there is none */
export async function rawRequest(port: number, request: string, options: RawOptions = {}): Promise<RawReply> {
  const [reply] = await rawExchange(port, request, options);
  if (reply === undefined) throw new Error("the connection was closed without a reply");
  return reply;
}

/** A request whose head stands as given, its lines ended by CR LF. */
export function rawHead(line: string, headers: Record<string, string> = {}): string {
  const lines = Object.entries({ host: "localhost", ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${line} HTTP/1.1\r\n${lines.join("")}\r\n`;
}

/** The complete replies at the beginning of `bytes`. */
export function parseReplies(bytes: Buffer): RawReply[] {
  const replies: RawReply[] = [];
  for (let start = 0; ;) {
    const end = bytes.indexOf("\r\n\r\n", start);
    if (end < 0) return replies;
    const [first = "", ...lines] = bytes.toString("latin1", start, end).split("\r\n");
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(first)?.[1]);
    const headers = new Headers();
    for (const line of lines)
      headers.append(line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim());
    const body = status < 200 ? { body: Buffer.alloc(0), next: end + 4 } : parseBody(bytes, end + 4, headers);
    if (body === undefined) return replies;
    // 100 Continue is not the reply.
    if (status >= 200) replies.push({ status, headers, body: body.body });
    start = body.next;
  }
}

function parseBody(bytes: Buffer, start: number, headers: Headers): { body: Buffer; next: number } | undefined {
  if (headers.get("transfer-encoding") !== "chunked") {
    const next = start + Number(headers.get("content-length") ?? 0);
    return bytes.length < next ? undefined : { body: bytes.subarray(start, next), next };
  }
  const parts: Buffer[] = [];
  for (let at = start; ;) {
    const end = bytes.indexOf("\r\n", at);
    const size = Number.parseInt(bytes.toString("latin1", at, end), 16);
    const next = end + 2 + size + 2;
    if (end < 0 || bytes.length < next) return undefined;
    if (size === 0) return { body: Buffer.concat(parts), next };
    parts.push(bytes.subarray(end + 2, end + 2 + size));
    at = next;
  }
}

/** Sends a whole request before it looks at anything that comes back, as simple clients do; gives what then comes. */
export async function sendWholeThenRead(port: number, parts: Iterable<string | Uint8Array>): Promise<RawReply> {
  const socket = connect({ host: "127.0.0.1", port });
  try {
    for (const part of parts) await write(socket, part);
    return await new Promise((resolve, reject) => {
      let received = Buffer.alloc(0);
      const timer = setTimeout(() => reject(new Error("no reply after the whole request")), patience);
      socket.on("data", (chunk: Buffer) => {
        received = Buffer.concat([received, chunk]);
        const [reply] = parseReplies(received);
        if (reply === undefined) return;
        clearTimeout(timer);
        resolve(reply);
      });
      socket.on("close", () => reject(new Error("closed before a whole reply came")));
      socket.on("error", reject);
    });
  } finally {
    socket.destroy();
  }
}

function write(socket: Socket, part: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.write(part, (error) => {
      socket.off("error", reject);
      if (error) reject(error);
      else resolve();
    });
  });
}

/** Sends the same bytes again and again until a reply comes. @throws Error if none comes within 256 MiB */
export async function sendUntilReply(port: number, head: string, piece: Uint8Array): Promise<RawReply> {
  const socket = connect({ host: "127.0.0.1", port });
  try {
    let received = Buffer.alloc(0);
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
    });
    await write(socket, head);
    for (let sent = 0; sent < 2 ** 28; sent += piece.byteLength) {
      const [reply] = parseReplies(received);
      if (reply !== undefined) return reply;
      await write(socket, piece);
      // A reply that is there is read before more is sent, however busy both sides are.
      await new Promise((resolve) => setImmediate(resolve));
    }
    throw new Error("no reply, however much was sent");
  } finally {
    socket.destroy();
  }
}
