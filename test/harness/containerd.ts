import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { startDaemon } from "./daemon.ts";
import type { Scratch } from "./scratch.ts";
import { attempt, type Outcome } from "./tools.ts";

/** A containerd of the test's own. */
export interface Containerd {
  /** Path of its socket. */
  address: string;
  /** Runs `ctr` with these arguments, whatever comes of it. */
  attempt(args: readonly string[], env?: Record<string, string>): Promise<Outcome>;
  /** Runs `ctr` and gives its standard output. @throws Error unless it exits with 0 */
  run(args: readonly string[], env?: Record<string, string>): Promise<string>;
  stop(): Promise<void>;
}

/** ctr 1.6 and its daemon lose each other now and then while a blob is read, with any registry. [containerd/containerd#5734] */
const lostDaemon = "rpc error: code = Internal desc = unexpected EOF";
const tries = 3;

/** @param cri where `hosts.toml` files are, for a containerd that takes orders as from a kubelet */
export async function startContainerd(scratch: Scratch, cri?: { hosts: string }): Promise<Containerd> {
  const directory = join(scratch.path, "containerd");
  mkdirSync(directory);
  const address = `${directory}/containerd.sock`;
  const config = `${directory}/config.toml`;
  await Bun.write(
    config,
    `version = 2
root = "${directory}/root"
state = "${directory}/state"
disabled_plugins = [${cri === undefined ? `"io.containerd.grpc.v1.cri", ` : ""}"io.containerd.internal.v1.opt"]
[grpc]
address = "${address}"
${cri === undefined ? "" : criConfig(cri.hosts)}`,
  );
  const ctr = ["ctr", "--address", address];
  const daemon = await startDaemon(["containerd", "--config", config], {
    env: scratch.env,
    ready: async () => (await attempt([...ctr, "version"])).code === 0,
  });
  const call = async (args: readonly string[], env: Record<string, string> = {}): Promise<Outcome> => {
    for (let left = tries - 1; ; left--) {
      const outcome = await attempt([...ctr, ...args], { env: { ...scratch.env, ...env } });
      if (left === 0 || !outcome.output.includes(lostDaemon)) return outcome;
    }
  };
  return {
    address,
    attempt: call,
    async run(args, env) {
      const { code, stdout, output } = await call(args, env);
      if (code !== 0) throw new Error(`ctr ${args.slice(0, 2).join(" ")} exited with ${code}:\n${output.slice(-4000)}`);
      return stdout;
    },
    stop: daemon.stop,
  };
}

/** Pulls need neither pods nor a network for them. */
function criConfig(hosts: string): string {
  return `[plugins."io.containerd.grpc.v1.cri"]
disable_apparmor = true
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "${hosts}"
`;
}
