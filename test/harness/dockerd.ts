import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { startDaemon } from "./daemon.ts";
import type { Scratch } from "./scratch.ts";
import { attempt } from "./tools.ts";

/** A Docker daemon of the test's own. */
export interface Dockerd {
  /** Environment of a `docker` that talks to it. */
  env: Record<string, string | undefined>;
  stop(): Promise<void>;
}

/**
 * Starts dockerd below the scratch directory, without a network bridge and without touching the machine's firewall.
 * @param env added to the daemon's environment: the daemon, not the command line, talks to registries
 */
export async function startDockerd(scratch: Scratch, env: Record<string, string> = {}): Promise<Dockerd> {
  const directory = join(scratch.path, "dockerd");
  mkdirSync(directory);
  const config = join(directory, "daemon.json");
  await Bun.write(config, "{}");
  const socket = `unix://${directory}/docker.sock`;
  const client = {
    ...scratch.env,
    DOCKER_HOST: socket,
    DOCKER_CONTEXT: undefined,
    DOCKER_CLI_EXPERIMENTAL: "enabled",
    DOCKER_BUILDKIT: "0",
  };
  const places = [
    "--data-root",
    `${directory}/data`,
    "--exec-root",
    `${directory}/exec`,
    "--pidfile",
    `${directory}/pid`,
  ];
  const quiet = ["--bridge", "none", "--iptables=false", "--ip6tables=false"];
  const daemon = await startDaemon(["dockerd", "--host", socket, "--config-file", config, ...places, ...quiet], {
    env: { ...scratch.env, ...env },
    ready: async () => (await attempt(["docker", "version"], { env: client })).code === 0,
  });
  return { env: client, stop: daemon.stop };
}
