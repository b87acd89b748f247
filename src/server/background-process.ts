import { sweepStaging, sweepUploads } from "../images/upload-sweep.ts";
import { trimAuditLog } from "../access/audit/retention.ts";
import { purgeDeletedPools } from "../identity/federation/pools.ts";
import { forgetRevocations } from "../identity/revocation.ts";
import { ServiceAgents } from "../identity/agent-caller.ts";
import { Leases } from "../operations/leases.ts";
import { GcrPublisher } from "../notifications/gcr-publisher.ts";
import { PubSub } from "../notifications/pubsub.ts";
import { rotateSigningKeys } from "../identity/key-rotation.ts";
import { purgeProjects } from "../projects/purge-project.ts";
import type { ChildLink } from "./child-link.ts";
import { dataDirectory } from "./data-directory.ts";
import { errorFields, openLog } from "./log.ts";
import type { ToChild } from "./messages.ts";
import { openDatabase } from "./metadata.ts";
import { Metrics } from "./metrics.ts";
import { openStores } from "./blob-stores.ts";
import { openAccess, openEgress } from "./rooms.ts";
import { surviveRejections } from "./unhandled.ts";

const hour = 3600_000;

/** Abandoned uploads are looked for this often, old records each hour. In ms. */
const sweepEach = hour / 4;

/** The process for what no request waits for: giving up old uploads, clearing away what a crash left. */
export async function startBackground(
  { settings, startedAt, server }: Extract<ToChild, { kind: "start" }>,
  link: ChildLink,
) {
  const log = openLog(settings.logLevel, "background");
  const metrics = new Metrics();
  surviveRejections(log, metrics);
  const directory = dataDirectory(settings.data);
  const database = await openDatabase(settings, directory, link.writer);
  const stores = await openStores(settings.stores, directory);
  const access = openAccess(database);
  const isAlone = settings.metadataUrl === undefined;
  const leases = new Leases({ database, holder: server, isAlone, log });

  await leases.whileHeld("uploads", () => {
    // Nobody is writing to what is older than a server that has the data to itself. Where others share it, only what no
    // request can still be writing to goes: it would have touched the bytes within the hour.
    let stagedBefore = isAlone ? startedAt : Date.now() - hour;
    return regularly(sweepEach, async () => {
      try {
        const uploads = await sweepUploads(database, stores, Date.now() - settings.uploadExpiry * hour);
        let segments = 0;
        for (const store of stores.values()) segments += await sweepStaging(database, store, stagedBefore);
        if (uploads + segments > 0) log.info({ uploads, segments }, "abandoned uploads removed");
      } catch (error) {
        log.error(errorFields(error), "sweep failed");
      }
      stagedBefore = Date.now() - hour;
    });
  });
  await leases.whileHeld("maintenance", () =>
    regularly(hour, async () => {
      try {
        const now = Date.now();
        await rotateSigningKeys(database, now);
        await database.write(forgetRevocations, { now });
        await purgeDeletedPools(database, now);
        const projects = await purgeProjects(database, now);
        if (projects > 0) log.info({ projects }, "deleted projects purged");
        const entries = await trimAuditLog(database, now - settings.auditRetention * 24 * hour);
        if (entries > 0) log.info({ entries }, "old audit entries removed");
      } catch (error) {
        log.error(errorFields(error), "maintenance failed");
      }
    }),
  );
  const { pubsubEndpoint } = settings;
  if (pubsubEndpoint !== undefined) {
    const agents = new ServiceAgents({
      access: access.access,
      memberships: access.memberships,
      projectNumber: async (project) => (await access.projects.find(project))?.number,
    });
    const pubsub = new PubSub(openEgress(settings), pubsubEndpoint);
    const { freshness } = access;
    await leases.whileHeld("notifications", async (lease) => {
      const publisher = new GcrPublisher({ database, lease, freshness, agents, pubsub, log, now: Date.now });
      await publisher.start();
      return () => publisher.stop();
    });
  }

  return {
    collect: () => metrics.collect(),
    stop: () => {
      void leases
        .stop()
        .then(() => access.journal.flush())
        .catch((error: unknown) => log.error(errorFields(error), "audit entries lost"))
        .then(() => log.drain())
        .then(() => process.exit(0));
    },
  };
}

/** Does the work now and then each `period` ms; one run ends before the next begins. */
function regularly(period: number, work: () => Promise<void>): () => void {
  let running: Promise<void> | undefined;
  const once = (): void => {
    running ??= work().finally(() => (running = undefined));
  };
  once();
  const timer = setInterval(once, period);
  return () => clearInterval(timer);
}
