import { readFileSync, statSync } from "node:fs";
import { createPrivateKey, X509Certificate } from "node:crypto";
import type { Server } from "bun";
import type { Logger } from "pino";
import { errorFields } from "./log.ts";

type Handler = (request: Request, server: Server<undefined>) => Promise<Response>;

interface ListenerOptions {
  hostname: string;
  port: number;
  idleTimeout: number;
  /** Files of the certificate chain and its key; `undefined`: plain HTTP. */
  certificate: { cert: string; key: string } | undefined;
  handler: Handler;
  log: Logger;
}

/** Often enough for a renewed certificate, too seldom to be seen. */
const lookAtFilesEach = 1000;

/**
 * A connection whose TLS was being negotiated when its server was told to stop is forgotten by Bun: it stays open, and
 * the server waits for it. Servers without a request for a second are ended by force.
 */
const lookAtRequestsEach = 50;
const quietLooks = 20;
/** How long ending by force may take, in ms. */
const forceFor = 1000;

/** One process's ear on the shared port. */
export class Listener {
  readonly #options: ListenerOptions;
  #server: Server<undefined>;
  /** Servers with an earlier certificate, each as long as its last request runs. */
  readonly #retired = new Map<Server<undefined>, Promise<void>>();
  #seen = "";
  readonly #timer: Timer | undefined;

  constructor(options: ListenerOptions) {
    this.#options = options;
    this.#seen = this.#stamp();
    this.#server = this.#serve();
    if (options.certificate !== undefined) {
      this.#timer = setInterval(() => this.#reload(), lookAtFilesEach);
      this.#timer.unref();
    }
  }

  /** Takes no new connections; resolves when the running requests are done, or after `deadline` ms. */
  async stop(deadline: number): Promise<void> {
    clearInterval(this.#timer);
    this.#retire(this.#server);
    const end = Date.now() + deadline;
    for (let quiet = 0; this.#retired.size > 0 && quiet < quietLooks && Date.now() < end;) {
      await Bun.sleep(lookAtRequestsEach);
      const isBusy = [...this.#retired.keys()].some((server) => server.pendingRequests > 0);
      quiet = isBusy ? 0 : quiet + 1;
    }
    // Bun does not always say that it has ended them; what comes next is the end of the process.
    await Promise.race([
      Promise.all([...this.#retired.keys()].map((server) => server.stop(true))),
      Bun.sleep(forceFor),
    ]);
  }

  #serve(): Server<undefined> {
    const { hostname, port, idleTimeout, certificate, handler, log } = this.#options;
    return Bun.serve({
      hostname,
      port,
      reusePort: true,
      idleTimeout,
      // Our own limits are enforced while reading, and refuse in the API's words.
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      development: false,
      fetch: handler,
      error: (error) => {
        log.error(errorFields(error), "reply failed");
        return new Response(null, { status: 500 });
      },
      ...(certificate === undefined ? {} : { tls: readCertificate(certificate), http2: true }),
    } as Parameters<typeof Bun.serve>[0]) as Server<undefined>;
  }

  #retire(server: Server<undefined>): void {
    const ended = server
      .stop(false)
      .catch((error: unknown) => this.#options.log.error(errorFields(error), "listener did not stop"))
      .finally(() => this.#retired.delete(server));
    this.#retired.set(server, ended);
  }

  /**
   * A new server with the new certificate takes the port before the old one lets go of it. What waits in the old
   * one's queue at that moment is reset, unless the kernel may move it (net.ipv4.tcp_migrate_req, Linux 5.14).
   */
  #reload(): void {
    const stamp = this.#stamp();
    if (stamp === this.#seen) return;
    this.#seen = stamp;
    const { log } = this.#options;
    try {
      const old = this.#server;
      this.#server = this.#serve();
      log.info("certificate reloaded");
      this.#retire(old);
    } catch (error) {
      // Half-written files: the next change is looked at again, until then the old certificate stands.
      log.error(errorFields(error), "certificate not reloaded");
    }
  }

  #stamp(): string {
    const { certificate } = this.#options;
    if (certificate === undefined) return "";
    return [certificate.cert, certificate.key]
      .map((path) => {
        const stat = statSync(path, { throwIfNoEntry: false });
        return stat === undefined ? "absent" : `${stat.ino}/${stat.mtimeMs}/${stat.size}`;
      })
      .join(" ");
  }
}

/** @throws Error if the files are not a certificate and its key */
export function readCertificate(files: { cert: string; key: string }): { cert: string; key: string } {
  const cert = readFileSync(files.cert, "utf8");
  const key = readFileSync(files.key, "utf8");
  const certificate = parseFile(files.cert, "a certificate", () => new X509Certificate(cert));
  if (!certificate.checkPrivateKey(parseFile(files.key, "a private key", () => createPrivateKey(key)))) {
    throw new Error(`${files.key} is not the key of the certificate in ${files.cert}`);
  }
  return { cert, key };
}

function parseFile<T>(path: string, what: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new Error(`${path} does not hold ${what} in PEM: ${(error as Error).message}`, { cause: error });
  }
}
