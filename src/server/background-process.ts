import { sweepStaging, sweepUploads } from "../images/upload-sweep.ts";
import { trimAuditLog } from "../access/audit/retention.ts";
import { purgeDeletedPools } from "../identity/federation/pools.ts";
import { forgetRevocations } from "../identity/revocation.ts";
import { ServiceAgents } from "../identity/agent-caller.ts";
import { GcrPublisher } from "../notifications/gcr-publisher.ts";
import { PubSub } from "../notifications/pubsub.ts";
import { rotateSigningKeys } from "../identity/key-rotation.ts";
import { purgeProjects } from "../projects/purge-project.ts";
import { SqliteDatabase } from "../metadata/sqlite.ts";
import type { ChildLink } from "./child-link.ts";
import { dataDirectory } from "./data-directory.ts";
import { errorFields, openLog } from "./log.ts";
import type { ToChild } from "./messages.ts";
import { Metrics } from "./metrics.ts";
import { openStores } from "./blob-stores.ts";
import { openAccess, openEgress } from "./rooms.ts";
import { surviveRejections } from "./unhandled.ts";

const hour = 3600_000;

/** The process for what no request waits for: giving up old uploads, clearing away what a crash left. */
export async function startBackground({ settings, startedAt }: Extract<ToChild, { kind: "start" }>, link: ChildLink) {
  const log = openLog(settings.logLevel, "background");
  const metrics = new Metrics();
  surviveRejections(log, metrics);
  const directory = dataDirectory(settings.data);
  const database = new SqliteDatabase(directory.database, link.writer);
  const stores = await openStores(settings.stores, directory);

  const sweep = async (stagedBefore: number): Promise<void> => {
    try {
      const uploads = await sweepUploads(database, stores, Date.now() - settings.uploadExpiry * hour);
      let segments = 0;
      for (const store of stores.values()) segments += await sweepStaging(database, store, stagedBefore);
      if (uploads + segments > 0) log.info({ uploads, segments }, "abandoned uploads removed");
    } catch (error) {
      log.error(errorFields(error), "sweep failed");
    }
  };
  // Nobody is writing to what is older than this server: it has the data directory to itself.
  void sweep(startedAt);
  // Later only what no request can still be writing to: it would have touched the file within the hour.
  const timer = setInterval(() => void sweep(Date.now() - hour), hour / 4);

  const maintain = async (): Promise<void> => {
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
  };
  void maintain();
  const { pubsubEndpoint } = settings;
  const access = openAccess(database);
  const publisher =
    pubsubEndpoint === undefined
      ? undefined
      : new GcrPublisher({
          database,
          freshness: access.freshness,
          agents: new ServiceAgents({
            access: access.access,
            memberships: access.memberships,
            projectNumber: async (project) => (await access.projects.find(project))?.number,
          }),
          pubsub: new PubSub(openEgress(settings), pubsubEndpoint),
          log,
          now: Date.now,
        });
  await publisher?.start();
  const maintenance = setInterval(() => void maintain(), hour);

  return {
    collect: () => metrics.collect(),
    stop: () => {
      clearInterval(timer);
      clearInterval(maintenance);
      publisher?.stop();
      void access.journal
        .flush()
        .catch((error: unknown) => log.error(errorFields(error), "audit entries lost"))
        .then(() => log.drain())
        .then(() => process.exit(0));
    },
  };
}
