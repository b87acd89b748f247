import { connect, createServer, type Server, type Socket } from "node:net";

const maxHead = 16 * 1024;
/** A client that has not said where to in this time is sent away. */
const headPatience = 10_000;

/** Google's hosts: all that the tunnel leads to, so that it is no way to anything else. */
const googleHosts = /^(?:(?:[a-z0-9-]+\.)*(?:gcr\.io|googleapis\.com|pkg\.dev)|accounts\.google\.com)$/;

/** The names that a certificate for all of them has to carry. */
export const googleNames = [
  "gcr.io",
  "*.gcr.io",
  "googleapis.com",
  "*.googleapis.com",
  "*.pkg.dev",
  "accounts.google.com",
];

/**
 * An HTTP proxy that answers CONNECT to Google's hosts with a tunnel to a port of this machine, and everything else
 * with a refusal. [RFC 9110 section 9.3.6]
 * @throws Error if the address is taken
 */
export async function startTunnel(hostname: string, port: number, target: number): Promise<Server> {
  const server = createServer((client) => serveClient(client, target));
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, hostname, resolve);
  });
  return server;
}

function serveClient(client: Socket, target: number): void {
  let head = Buffer.alloc(0);
  client.setTimeout(headPatience, () => client.destroy());
  client.on("error", () => client.destroy());
  const read = (chunk: Buffer): void => {
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf("\r\n\r\n");
    if (end < 0) {
      if (head.byteLength > maxHead) refuse(client, "431 Request Header Fields Too Large");
      return;
    }
    client.off("data", read);
    client.pause();
    client.setTimeout(0);
    const host = /^CONNECT ([A-Za-z0-9.-]+):443 HTTP\/1\.[01]\r\n/.exec(head.toString("latin1"))?.[1]?.toLowerCase();
    if (host === undefined) refuse(client, "405 Method Not Allowed");
    else if (!googleHosts.test(host)) refuse(client, "403 Forbidden");
    else open(client, target, head.subarray(end + 4));
  };
  client.on("data", read);
}

function open(client: Socket, target: number, early: Uint8Array): void {
  const upstream = connect(target, "127.0.0.1", () => {
    client.write("HTTP/1.1 200 Connection established\r\n\r\n");
    if (early.byteLength > 0) upstream.write(early);
    client.pipe(upstream).pipe(client);
  });
  upstream.on("error", () => client.destroy());
  upstream.on("close", () => client.destroy());
  client.on("close", () => upstream.destroy());
}

function refuse(client: Socket, status: string): void {
  client.end(`HTTP/1.1 ${status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
}
