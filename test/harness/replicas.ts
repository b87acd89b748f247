import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Berth, startBerth } from "./berth.ts";
import { freePort } from "./nginx.ts";
import { postgresPrograms } from "./postgres-database.ts";
import { type PostgresServer, startPostgres } from "./postgres.ts";
import { s3Credentials, type S3Server, startS3Server } from "./s3-server.ts";
import type { Scratch } from "./scratch.ts";
import { findProgram } from "./tools.ts";

/** Which of the programs that replicas take are not installed. */
export const missingForReplicas = [
  ...(postgresPrograms() === null ? ["postgres"] : []),
  ...["versitygw", "haproxy", "crane"].filter((program) => findProgram(program) === null),
];

/** Three servers on one PostgreSQL and one S3, each with nothing of its own but a port. */
export interface Replicas {
  all: Berth[];
  ports: readonly number[];
  postgres: PostgresServer;
  s3: S3Server;
  /** Their `berth.yaml`. */
  config: string;
  /** Starts one again where it was. */
  restart(i: number): Promise<void>;
  stop(): Promise<void>;
}

/** @param settings more lines for their `berth.yaml` */
export async function startReplicas(scratch: Scratch, settings: readonly string[] = []): Promise<Replicas> {
  const [postgres, s3] = await Promise.all([startPostgres(), startS3Server()]);
  const secretFile = join(scratch.path, "secret");
  writeFileSync(secretFile, s3Credentials.secretAccessKey);
  const config = [
    `metadata: { url: "${postgres.url}" }`,
    "stores:",
    `  default: { driver: s3, bucket: berth, endpoint: "${s3.url}", path-style: true,`,
    `    access-key-id: ${s3Credentials.accessKeyId}, secret-access-key-file: "${secretFile}" }`,
    ...settings,
  ].join("\n");
  const ports = [freePort(), freePort(), freePort()];
  const data = ports.map((_, i) => scratch.directory(`data-${i}`));
  const start = (i: number, beside?: Berth): Promise<Berth> =>
    startBerth({ config, data: data[i] as string, port: ports[i] as number, ...(beside !== undefined && { beside }) });
  const first = await start(0);
  const all = [first, await start(1, first), await start(2, first)];
  return {
    all,
    ports,
    postgres,
    s3,
    config,
    async restart(i) {
      all[i] = await start(i, first);
    },
    async stop() {
      await Promise.all(all.map((each) => each.stop()));
      await postgres.stop();
      await s3.stop();
    },
  };
}
