import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Daemon, startDaemon } from "./daemon.ts";
import { freePort } from "./nginx.ts";

export const s3Credentials = { accessKeyId: "berth-tests", secretAccessKey: "only-for-this-run" };

/** An S3 server with one bucket, `berth`: Versity's gateway in front of a directory. */
export interface S3Server {
  /** `http://127.0.0.1:PORT`, or `https://localhost:PORT` with a certificate. */
  url: string;
  /** What lies in the bucket, as files; an upload that was not completed too. */
  directory: string;
  /** Ends it as it is; `start` brings it back with what it held. */
  kill(): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

export async function startS3Server(tls?: { cert: string; key: string; ca: string }): Promise<S3Server> {
  const root = mkdtempSync(join(tmpdir(), "berth-s3-"));
  mkdirSync(join(root, "berth"));
  const port = freePort();
  const url = tls === undefined ? `http://127.0.0.1:${port}` : `https://localhost:${port}`;
  const { accessKeyId, secretAccessKey } = s3Credentials;
  const account = ["--access", accessKeyId, "--secret", secretAccessKey];
  const listen = ["--port", `:${port}`, "--virtual-domain", "localhost", "--keep-alive"];
  const certificate = tls === undefined ? [] : ["--cert", tls.cert, "--key", tls.key];
  const command = ["versitygw", "--quiet", ...account, ...listen, ...certificate, "posix", root];
  const answers = (): Promise<boolean> =>
    fetch(url, tls === undefined ? {} : { tls: { ca: tls.ca } }).then(
      () => true,
      () => false,
    );
  let daemon: Daemon | undefined;
  const server: S3Server = {
    url,
    directory: join(root, "berth"),
    async kill() {
      await daemon?.stop();
      daemon = undefined;
    },
    async start() {
      daemon ??= await startDaemon(command, { ready: answers });
    },
    async stop() {
      await server.kill();
      rmSync(root, { recursive: true, force: true });
    },
  };
  await server.start();
  return server;
}
