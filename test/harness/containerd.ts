import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { startDaemon } from "./daemon.ts";
import type { Scratch } from "./scratch.ts";
import { attempt } from "./tools.ts";

/** A containerd of the test's own. */
export interface Containerd {
  /** `ctr` with the address of its socket. */
  ctr: readonly string[];
  stop(): Promise<void>;
}

export async function startContainerd(scratch: Scratch): Promise<Containerd> {
  const directory = join(scratch.path, "containerd");
  mkdirSync(directory);
  const address = `${directory}/containerd.sock`;
  const config = `${directory}/config.toml`;
  await Bun.write(
    config,
    `version = 2
root = "${directory}/root"
state = "${directory}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
address = "${address}"
`,
  );
  const ctr = ["ctr", "--address", address];
  const daemon = await startDaemon(["containerd", "--config", config], {
    env: scratch.env,
    ready: async () => (await attempt([...ctr, "version"])).code === 0,
  });
  return { ctr, stop: daemon.stop };
}
