import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";

/* The servers of this room's tests: what they send is written by hand, because much of it no server library sends. */

export interface TestServer extends AsyncDisposable {
  port: number;
  /** The head of each request, with the body's bytes that came with it. */
  requests: string[];
  /** The name that each TLS client asked for. */
  names: (string | false | null)[];
  connections: number;
  open: Set<Socket>;
}

interface ServerOptions {
  /** Which certificate to show; without one it speaks plain HTTP. */
  tls?: { cert: string; key: string };
  address?: string;
  port?: number;
}

/** Answers each connection's first bytes. */
export async function serve(
  reply: (socket: Socket, head: string) => void,
  { tls, address = "127.0.0.1", port = 0 }: ServerOptions = {},
): Promise<TestServer> {
  const state = { requests: [] as string[], names: [] as (string | false | null)[], connections: 0 };
  const open = new Set<Socket>();
  const accept = (socket: Socket): void => {
    if ("servername" in socket) state.names.push(socket.servername as string | false | null);
    socket.on("error", () => undefined);
    socket.once("data", (data: Buffer) => {
      const head = data.toString("latin1");
      state.requests.push(head);
      reply(socket, head);
    });
  };
  const count = (socket: Socket): void => {
    state.connections++;
    open.add(socket);
    socket.on("close", () => open.delete(socket));
  };
  const server: Server = tls === undefined ? createServer(accept) : createTlsServer(tls, accept);
  server.on("connection", count);
  server.on("tlsClientError", () => undefined);
  await new Promise<void>((resolve) => server.listen(port, address, resolve));
  return Object.assign(state, {
    port: (server.address() as AddressInfo).port,
    open,
    [Symbol.asyncDispose]: async () => {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  });
}

/** A whole reply. */
export function http(status: string, headers: Record<string, string>, body: string | Uint8Array = ""): Buffer {
  const bytes = Buffer.from(body as string);
  const fields = Object.entries({ "content-length": String(bytes.length), ...headers });
  const lines = [`HTTP/1.1 ${status}`, ...fields.map(([name, value]) => `${name}: ${value}`)];
  return Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`), bytes]);
}

/** Sends as fast as it is read, for as long as it is. @returns how many bytes went */
export function pour(socket: Socket, chunk: Buffer): { sent: number } {
  const count = { sent: 0 };
  const more = (): void => {
    do count.sent += chunk.length;
    while (socket.writable && socket.write(chunk));
  };
  socket.on("drain", more);
  more();
  return count;
}

/** An HTTP proxy that connects to 127.0.0.1 whatever the name is. */
export function proxyServer(options: ServerOptions = {}): Promise<TestServer> {
  return serve((client, head) => {
    const port = Number(/^\w+ [^ ]*?:(\d+)/.exec(head.replace("http://", ""))?.[1]);
    const target = connect({ host: "127.0.0.1", port }, () => {
      if (head.startsWith("CONNECT ")) client.write("HTTP/1.1 200 Connection established\r\n\r\n");
      else target.write(head, "latin1");
      client.pipe(target).pipe(client);
    });
    target.on("error", () => client.destroy());
    client.on("close", () => target.destroy());
  }, options);
}

/** What a promise rejects with. */
export function failure(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => undefined,
    (error: unknown) => error,
  );
}
