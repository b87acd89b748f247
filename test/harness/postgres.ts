import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { attempt, run } from "./tools.ts";
import { freePort } from "./nginx.ts";
import { until } from "./berth.ts";
import { postgresPrograms } from "./postgres-database.ts";

/** A PostgreSQL of a suite's own, with files of its own on a free port; whoever asks is believed to be `berth`. */
export interface PostgresServer {
  port: number;
  /** Of its database `postgres`. */
  url: string;
  /** File of its log. */
  log: string;
  /** Runs SQL in a database; answers the rows as psql prints them, unaligned. */
  sql(statement: string, database?: string): Promise<string>;
  /** SIGKILL to all of it, or an orderly stop; `start` brings it back with what it held. */
  kill(): Promise<void>;
  halt(): Promise<void>;
  start(): Promise<void>;
  /** Ends in order and begins anew, with what its files say by then. */
  restart(): Promise<void>;
  /** Stops all its processes where they are, as a machine does that is overcommitted; and lets them go on. */
  freeze(): Promise<void>;
  thaw(): Promise<void>;
  stop(): Promise<void>;
}

/** What neither PostgreSQL nor its pooler runs as is root. */
export const asUser =
  process.getuid?.() === 0 ? ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] : [];

/**
 * @param settings more of `postgresql.conf`; by default nothing is synced to the disk, which is faster
 * @param prepare makes the files that the settings name
 */
export async function startPostgres(
  settings: Record<string, string> = { fsync: "off" },
  prepare: () => Promise<void> = () => Promise.resolve(),
): Promise<PostgresServer> {
  const programs = postgresPrograms();
  if (programs === null) throw new Error("PostgreSQL is not installed; see .ci/install");
  const root = mkdtempSync(join(tmpdir(), "berth-postgres-"));
  if (asUser.length > 0) await run(["chown", "nobody:nogroup", root]);
  const data = join(root, "data");
  const initialize = ["--username=berth", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"];
  await run([...asUser, join(programs, "initdb"), "-D", data, ...initialize]);
  const port = freePort();
  const given = { port: String(port), unix_socket_directories: root, max_connections: "300", ...settings };
  const flags = Object.entries(given).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const url = `postgres://berth@127.0.0.1:${port}/postgres`;
  let child: Bun.Subprocess | undefined;
  const launch = (): Bun.Subprocess =>
    Bun.spawn([...asUser, join(programs, "postgres"), "-D", data, ...flags], {
      stdio: ["ignore", "ignore", Bun.file(join(root, "log"))],
    });
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const ending = child;
    child = undefined;
    if (ending === undefined) return;
    const parts = signal === "SIGKILL" ? (await attempt(["pgrep", "-P", String(ending.pid)])).stdout.split("\n") : [];
    // The first process first: it would make others in place of those that die.
    ending.kill(signal);
    await ending.exited;
    for (const pid of parts.map(Number).filter((each) => each > 0)) {
      try {
        process.kill(pid, signal);
      } catch {
        // It is gone with the first.
      }
    }
  };
  const signalAll = async (name: string): Promise<void> => {
    await run(["pkill", `-${name}`, "-P", String(child?.pid)]);
    await run(["kill", `-${name}`, String(child?.pid)]);
  };
  const server: PostgresServer = {
    port,
    url,
    log: join(root, "log"),
    sql: (statement, database = "postgres") =>
      run([
        join(programs, "psql"),
        "-qAtX",
        "-v",
        "ON_ERROR_STOP=1",
        "-c",
        statement,
        url.replace(/postgres$/, database),
      ]),
    kill: () => end("SIGKILL"),
    // Breaks off what runs and stops in order.
    halt: () => end("SIGINT"),
    async start() {
      const isReady = [join(programs, "pg_isready"), "-q", "-h", "127.0.0.1", "-p", String(port)];
      await until(async () => {
        // It refuses to start as long as one process of the last one is left.
        if (child === undefined || child.exitCode !== null) child = launch();
        return (await attempt(isReady)).code === 0 || undefined;
      }, 30_000);
    },
    async restart() {
      await server.halt();
      await server.start();
    },
    freeze: () => signalAll("STOP"),
    thaw: () => signalAll("CONT"),
    async stop() {
      await end("SIGKILL");
      rmSync(root, { recursive: true, force: true });
    },
  };
  await prepare();
  await server.start();
  return server;
}
