import { errorCodec } from "../http/berth-error.ts";
import { serveWriter } from "../metadata/ipc.ts";
import { Hosts } from "../registry/hosts.ts";
import { bootstrap } from "./bootstrap.ts";
import { Child } from "./children.ts";
import { commands } from "./commands.ts";
import { claimDataDirectory, dataDirectory, releaseDataDirectory } from "./data-directory.ts";
import { readCertificate } from "./listener.ts";
import { openLog } from "./log.ts";
import type { ToChild, ToSupervisor } from "./messages.ts";
import { Metrics, sumMetrics } from "./metrics.ts";
import { openMetadata } from "./metadata.ts";
import type { Settings } from "./options.ts";
import { claimPort } from "./port-claim.ts";
import { publicAddress } from "./public-address.ts";
import { surviveRejections } from "./unhandled.ts";

/** How long a scrape waits for the other processes. */
const scrapePatience = 2000;

/**
 * `berth serve`: holds the data directory and the one connection that writes, starts the processes that do the rest,
 * and starts them again when they die. Resolves with the exit code.
 * @throws DataDirectoryError, NewerSchemaError, SettingsError, or Error if the port is taken
 */
export async function supervise(settings: Settings, print: (text: string) => void): Promise<number> {
  const startedAt = Date.now();
  const directory = dataDirectory(settings.data);
  claimDataDirectory(directory);
  const claim = await claimPort(settings.listen);
  const { port } = claim;
  const { database, writer, close } = await openMetadata(settings, directory, commands);
  const log = openLog(settings.logLevel, "supervisor");
  const metrics = new Metrics();
  surviveRejections(log, metrics);

  const address = publicAddress(settings, port);
  await prepareCertificate(settings, directory, address.host);
  const first = bootstrap({ database, server: address.url, keyFile: directory.adminKey, now: startedAt });

  const scrapes = new Scrapes(metrics, () => children);
  const receive = (message: ToSupervisor, reply: (message: ToChild) => void, from: Child): void => {
    if (message.kind === "write") {
      if (writer !== undefined) serveWriter(writer, reply, errorCodec)(message);
    } else if (message.kind === "collected") scrapes.collected(message.id, message.metrics);
    else if (message.kind === "news")
      for (const child of children) if (child.isApi && child !== from) child.send(message);
    if (message.kind === "scrape") {
      void scrapes.scrape().then((text) => reply({ kind: "metrics", id: message.id, text }));
    }
  };
  const start = { kind: "start", settings, port, startedAt, server: crypto.randomUUID() } as const;
  const children = [
    ...Array.from(
      { length: settings.workers },
      (_, index) => new Child({ ...start, role: "api", index }, { receive, log }),
    ),
    new Child({ ...start, role: "background", index: 0 }, { receive, log }),
  ];
  const stopped = untilSignal();
  const [user] = await Promise.all([first, ...children.map((child) => child.start())]);
  claim.release();
  announce(print, address.listening, settings, directory, user);

  const signal = await stopped;
  log.info({ signal }, "stopping");
  const deadline = (settings.shutdownDelay + settings.shutdownTimeout) * 1000 + 2000;
  await Promise.all(children.map((child) => child.stop(deadline)));
  await close();
  releaseDataDirectory();
  log.info("stopped");
  await log.drain();
  return 0;
}

async function prepareCertificate(
  settings: Settings,
  directory: ReturnType<typeof dataDirectory>,
  host: string,
): Promise<void> {
  if (settings.tls === "self-signed") {
    const hosts = new Hosts(
      settings.hosts.map((each) => ({ ...each, readOnly: false })),
      false,
    );
    // Loaded only where it is used: its libraries take a quarter of the start. One of them looks for the first
    // import as it loads, and a bundler would change the order of two static ones.
    await import("reflect-metadata");
    const { selfSignedCertificate } = await import("./certificates.ts");
    await selfSignedCertificate(directory, [host, ...hosts.all().map(({ name }) => name)]);
  } else if (settings.tls === "files") {
    readCertificate({ cert: settings.tlsCert as string, key: settings.tlsKey as string });
  }
}

/** Sums what all processes measured; one that does not answer in time is left out. */
class Scrapes {
  readonly #metrics: Metrics;
  readonly #children: () => readonly Child[];
  readonly #running = new Map<number, { metrics: object[][]; missing: number; done: () => void }>();
  #next = 0;

  constructor(metrics: Metrics, children: () => readonly Child[]) {
    this.#metrics = metrics;
    this.#children = children;
  }

  async scrape(): Promise<string> {
    const id = this.#next++;
    const children = this.#children();
    const own = await this.#metrics.collect();
    const metrics = [own];
    await new Promise<void>((resolve) => {
      this.#running.set(id, { metrics, missing: children.length, done: resolve });
      for (const child of children) child.send({ kind: "collect", id });
      setTimeout(resolve, scrapePatience);
    });
    this.#running.delete(id);
    return sumMetrics(metrics);
  }

  collected(id: number, metrics: object[]): void {
    const running = this.#running.get(id);
    if (running === undefined) return;
    running.metrics.push(metrics);
    if (--running.missing === 0) running.done();
  }
}

function untilSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => resolve(signal));
  });
}

function announce(
  print: (text: string) => void,
  listening: string,
  settings: Settings,
  directory: ReturnType<typeof dataDirectory>,
  user: { user: string; password: string } | undefined,
): void {
  print(`berth: listening on ${listening}`);
  if (settings.tls === "self-signed") {
    print(`berth: clients trust it with ${directory.caCertificate}; for docker:`);
    print(`       install -D ${directory.caCertificate} /etc/docker/certs.d/${new URL(listening).host}/ca.crt`);
  }
  if (user === undefined) return;
  const host = settings.publicName ?? new URL(listening).host;
  print(`berth: made the project my-project and its owner's key, ${directory.adminKey}`);
  print(`berth: console user ${user.user}, password ${user.password} (shown only now)`);
  print(`berth: docker login -u _json_key --password-stdin ${host} < ${directory.adminKey}`);
}
