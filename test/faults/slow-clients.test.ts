import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { digestOf } from "../../src/names/digest.ts";
import { type Berth, startBerth, until } from "../harness/berth.ts";

const repository = "my-project/slow";
/** Seconds; Bun looks at its timers each four. */
const idle = 5;
const patience = (idle + 12) * 1000;

/**
 * A client that makes no progress for the idle limit is dropped; one that is slow but moves is not. The clients of
 * this suite wait at the same time.
 */
describe("slow clients", () => {
  let berth: Berth;
  let head: string;
  const large = new Uint8Array(64 * 2 ** 20);
  const digest = digestOf(large);

  beforeAll(async () => {
    berth = await startBerth({ args: ["--idle-timeout", String(idle)] });
    const token = await berth.token(`repository:${repository}:pull,push`);
    head = `Host: localhost\r\nAuthorization: Bearer ${token}\r\n`;
    const pushed = await berth.fetch(`/v2/${repository}/blobs/uploads/?digest=${digest}`, {
      method: "POST",
      body: large,
    });
    expect(pushed.status).toBe(201);
  });

  afterAll(() => berth.stop());

  interface Connection {
    socket: Socket;
    received: () => number;
    text: () => string;
    isClosed: () => boolean;
  }

  function open(request: string, reading = true): Connection {
    const socket = connect(berth.port, "127.0.0.1");
    let received = 0;
    let text = "";
    let closed = false;
    socket.on("data", (chunk) => {
      received += chunk.length;
      if (text.length < 10_000) text += chunk.toString("latin1");
      if (!reading) socket.pause();
    });
    socket.on("close", () => (closed = true));
    socket.on("error", () => (closed = true));
    socket.write(request);
    return { socket, received: () => received, text: () => text, isClosed: () => closed };
  }

  const started = async (): Promise<string> => {
    const reply = await berth.fetch(`/v2/${repository}/blobs/uploads/`, { method: "POST" });
    return reply.headers.get("location") ?? "";
  };

  test.concurrent("an upload without a byte is dropped", async () => {
    const upload = open(`PATCH ${await started()} HTTP/1.1\r\n${head}Content-Length: 1000\r\n\r\nabc`);
    await until(() => upload.isClosed() || undefined, patience);
    expect(upload.text()).not.toContain("202 Accepted");
  });

  test.concurrent("a header that never ends is dropped", async () => {
    const request = open(`GET /v2/ HTTP/1.1\r\n${head}X-More: `);
    await until(() => request.isClosed() || undefined, patience);
  });

  test.concurrent("an upload of a byte now and then goes on to its end", async () => {
    const size = 3 * idle;
    const upload = open(`PATCH ${await started()} HTTP/1.1\r\n${head}Content-Length: ${size}\r\n\r\n`);
    for (let sent = 0; sent < size; sent++) {
      upload.socket.write("x");
      // The slowness is what is tested.
      await Bun.sleep(1000);
      expect(upload.isClosed()).toBe(false);
    }
    await until(() => upload.text().includes("202 Accepted") || undefined);
    upload.socket.destroy();
  });

  test.concurrent("a reader that has stopped is dropped", async () => {
    const reader = open(`GET /v2/${repository}/blobs/${digest} HTTP/1.1\r\n${head}\r\n`, false);
    await until(() => reader.received() > 0 || undefined);
    const ownPort = reader.socket.localPort as number;
    // A socket that nobody reads from does not tell its owner that it was closed: the kernel does.
    await until(() => !isEstablished(berth.port, ownPort) || undefined, patience);
    reader.socket.destroy();
  });

  test.concurrent("a reader that takes a little now and then goes on", async () => {
    const reader = open(`GET /v2/${repository}/blobs/${digest} HTTP/1.1\r\n${head}\r\n`, false);
    const ownPort = reader.socket.localPort;
    const end = performance.now() + 3 * idle * 1000;
    while (performance.now() < end) {
      await Bun.sleep(500);
      reader.socket.resume();
      expect(ownPort === undefined || isEstablished(berth.port, reader.socket.localPort as number)).toBe(true);
    }
    reader.socket.destroy();
  });
});

/** Whether the server's end of a connection is open. */
function isEstablished(serverPort: number, clientPort: number): boolean {
  const out = Bun.spawnSync(["cat", "/proc/net/tcp"]).stdout.toString();
  const hex = (port: number): string => port.toString(16).toUpperCase().padStart(4, "0");
  return out.split("\n").some((line) => {
    const [, local, remote, state] = line.trim().split(/\s+/);
    return local?.endsWith(`:${hex(serverPort)}`) && remote?.endsWith(`:${hex(clientPort)}`) && state === "01";
  });
}
