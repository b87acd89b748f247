import type { ChildLink } from "./child-link.ts";
import { dataDirectory } from "./data-directory.ts";
import { Forwarding } from "./forwarded.ts";
import { Listener } from "./listener.ts";
import { errorFields, openLog } from "./log.ts";
import type { News, ToChild } from "./messages.ts";
import { openDatabase } from "./metadata.ts";
import { Metrics } from "./metrics.ts";
import { Probes } from "./probes.ts";
import { requestHandler } from "./requests.ts";
import { openStores } from "./blob-stores.ts";
import { openRooms } from "./rooms.ts";
import { parseListen } from "./listen-address.ts";
import { publicAddress } from "./public-address.ts";
import { surviveRejections } from "./unhandled.ts";

/** How often the processes on one port tell each other what they have counted, in ms. */
const newsEach = 1000;

/** One of the processes that answer requests. */
export async function startApi({ settings, port, index }: Extract<ToChild, { kind: "start" }>, link: ChildLink) {
  const log = openLog(settings.logLevel, `api-${index}`);
  const metrics = new Metrics();
  surviveRejections(log, metrics);
  const directory = dataDirectory(settings.data);
  const database = await openDatabase(settings, directory, link.writer);
  const stores = await openStores(settings.stores, directory);
  let stopping = false;
  const probes = new Probes({ database, stores, scrape: link.scrape, isStopping: () => stopping });
  const rooms = openRooms(settings, database, stores, publicAddress(settings, port).url);
  const handler = requestHandler({
    rooms,
    probes,
    forwarding: new Forwarding(settings.trustedProxies),
    metrics,
    log,
    scheme: settings.tls === "off" ? "http" : "https",
    idleTimeout: settings.idleTimeout,
  });
  const own = { cert: directory.certificate, key: directory.certificateKey };
  const given = { cert: settings.tlsCert ?? own.cert, key: settings.tlsKey ?? own.key };
  const listener = new Listener({
    hostname: parseListen(settings.listen).hostname,
    port,
    idleTimeout: settings.idleTimeout,
    certificate: settings.tls === "off" ? undefined : given,
    handler,
    log,
  });
  const tell = setInterval(() => {
    const news = { requests: rooms.quota.takeNews(), failures: rooms.throttle.takeNews() };
    if (settings.workers > 1 && news.requests.length + news.failures.length > 0) link.send({ kind: "news", ...news });
  }, newsEach);
  return {
    collect: () => metrics.collect(),
    hear: ({ requests, failures }: News) => {
      rooms.quota.hear(requests);
      rooms.throttle.hear(failures);
    },
    stop: () => {
      stopping = true;
      clearInterval(tell);
      void Bun.sleep(settings.shutdownDelay * 1000)
        .then(() => listener.stop(settings.shutdownTimeout * 1000))
        .then(() => rooms.journal.flush())
        .catch((error: unknown) => log.error(errorFields(error), "audit entries lost"))
        .then(() => log.drain())
        .then(() => process.exit(0));
    },
  };
}
