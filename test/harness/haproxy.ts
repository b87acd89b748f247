import { join } from "node:path";
import { startDaemon } from "./daemon.ts";
import { freePort } from "./nginx.ts";
import type { Scratch } from "./scratch.ts";
import { findProgram } from "./tools.ts";

/** A load balancer that sends each request to the next server that says it is ready. */
export interface Haproxy {
  /** `localhost:PORT` */
  host: string;
  stop(): Promise<void>;
}

/** @param ports of the servers behind it, on 127.0.0.1 */
export async function startHaproxy(scratch: Scratch, ports: readonly number[]): Promise<Haproxy> {
  const port = freePort();
  const file = join(scratch.directory("haproxy"), "haproxy.cfg");
  const servers = ports.map((each, i) => `  server s${i} 127.0.0.1:${each}`);
  await Bun.write(
    file,
    `global
  maxconn 1000
defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  option redispatch
frontend all
  bind 127.0.0.1:${port}
  default_backend berth
backend berth
  balance roundrobin
  option httpchk GET /readyz
  default-server check inter 200ms fall 1 rise 1
${servers.join("\n")}
`,
  );
  const command = [findProgram("haproxy") ?? "haproxy", "-db", "-f", file];
  const isReady = (): Promise<boolean> =>
    fetch(`http://127.0.0.1:${port}/healthz`).then(
      ({ ok }) => ok,
      () => false,
    );
  const daemon = await startDaemon(command, { ready: isReady });
  return { host: `localhost:${port}`, stop: () => daemon.stop() };
}
