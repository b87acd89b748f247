import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startDaemon } from "./daemon.ts";
import { freePort } from "./nginx.ts";
import { postgresPrograms } from "./postgres-database.ts";
import { asUser, type PostgresServer } from "./postgres.ts";
import { attempt, findProgram, run } from "./tools.ts";

/** PgBouncer in front of a PostgreSQL: each transaction gets one of three connections. */
export interface Bouncer {
  /** Of the server's database `postgres`. */
  url: string;
  stop(): Promise<void>;
}

export async function startBouncer(server: PostgresServer): Promise<Bouncer> {
  const directory = mkdtempSync(join(tmpdir(), "berth-pgbouncer-"));
  const port = freePort();
  writeFileSync(
    join(directory, "pgbouncer.ini"),
    `[databases]\n* = host=127.0.0.1 port=${server.port} user=berth\n` +
      `[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = ${port}\nunix_socket_dir =\nauth_type = any\n` +
      `pool_mode = transaction\ndefault_pool_size = 3\nmax_client_conn = 500\n`,
  );
  if (asUser.length > 0) await run(["chown", "-R", "nobody:nogroup", directory]);
  const url = `postgres://berth@127.0.0.1:${port}/postgres`;
  const command = [...asUser, findProgram("pgbouncer") ?? "pgbouncer", join(directory, "pgbouncer.ini")];
  const isReady = [join(postgresPrograms() ?? "", "psql"), "-qAtX", url, "-c", "SELECT 1"];
  const daemon = await startDaemon(command, { ready: async () => (await attempt(isReady)).code === 0 });
  return {
    url,
    async stop() {
      await daemon.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
