import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { connect as connectTls } from "node:tls";
import { type Berth, until } from "../harness/berth.ts";
import { basic } from "../harness/caller.ts";
import { type Content, contentOf } from "../harness/content.ts";
import { parseReplies, rawHead } from "../harness/raw-http.ts";

/** A download whose client has taken the beginning and waits. */
export interface SlowDownload {
  /** Takes the rest; answers the digest of the body, or `undefined` where the connection ended before the body. */
  finish(): Promise<string | undefined>;
  /** Bytes that came so far. */
  received(): number;
}

/** Begins to pull a blob, which must be larger than what the system buffers on its way. */
export async function beginDownload(berth: Berth, repository: string, blob: Content): Promise<SlowDownload> {
  const socket = berth.url.startsWith("https:")
    ? connectTls({ host: "127.0.0.1", port: berth.port, servername: "localhost", ca: readFileSync(berth.ca) })
    : connect({ host: "127.0.0.1", port: berth.port });
  const chunks: Buffer[] = [];
  let ended = false;
  socket.on("data", (chunk: Buffer) => {
    chunks.push(chunk);
    // At once: the whole blob takes milliseconds.
    if (chunks.length === 1) socket.pause();
  });
  socket.on("error", () => (ended = true));
  socket.on("close", () => (ended = true));
  const headers = { authorization: basic(berth.key), connection: "close" };
  socket.write(rawHead(`GET /v2/${repository}/blobs/${blob.digest}`, headers));
  await until(() => chunks.length > 0 || ended || undefined);
  const head = chunks[0]?.toString("latin1", 0, 100) ?? "";
  if (!head.startsWith("HTTP/1.1 200 ")) throw new Error(`no download began: ${head}`);
  return {
    received: () => chunks.reduce((sum, { length }) => sum + length, 0),
    async finish() {
      socket.resume();
      await until(
        () => ended || undefined,
        20_000,
        () => "the download did not end",
      );
      const [reply] = parseReplies(Buffer.concat(chunks));
      return reply === undefined ? undefined : contentOf(reply.body).digest;
    },
  };
}
