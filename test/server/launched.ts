import { resolve } from "node:path";
import { groupMembers } from "../faults/processes.ts";
import { berthCommand, until } from "../harness/berth.ts";
import { attempt, environment, type Outcome } from "../harness/tools.ts";

/** A server that was started in another way than the harness does it. */
export interface Launched {
  port: number;
  output(): string;
  /** SIGTERM to all of its processes; resolves when none is left. */
  stop(): Promise<void>;
}

const root = resolve(import.meta.dir, "../..");

/** Runs a command that serves, in a process group of its own, and waits for the line with its address. */
export async function launch(command: readonly string[]): Promise<Launched> {
  const child = Bun.spawn([...command], {
    cwd: root,
    env: environment(),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    detached: true,
  });
  let output = "";
  const collect = async (stream: ReadableStream<Uint8Array>): Promise<void> => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) output += decoder.decode(chunk, { stream: true });
  };
  const collected = Promise.all([collect(child.stdout), collect(child.stderr)]);
  const signal = (name: NodeJS.Signals): void => {
    if (groupMembers(child.pid).length > 0) process.kill(-child.pid, name);
  };
  try {
    const port = await until(
      () => {
        if (child.exitCode !== null) throw new Error(`${command.join(" ")} exited with ${child.exitCode}:\n${output}`);
        const found = /listening on https?:\/\/[^\s:]+:(\d+)/.exec(output);
        return found ? Number(found[1]) : undefined;
      },
      15_000,
      () => `${command.join(" ")} printed no address:\n${output}`,
    );
    return {
      port,
      output: () => output,
      async stop() {
        signal("SIGTERM");
        try {
          await until(
            () => groupMembers(child.pid).length === 0 || undefined,
            15_000,
            () => "a process is left",
          );
        } finally {
          signal("SIGKILL");
          await collected;
        }
      },
    };
  } catch (error) {
    signal("SIGKILL");
    throw error;
  }
}

/** `berth` with arguments, run to its end. Killed after a while: a server that should have refused would go on. */
export function berth(args: readonly string[], env: Record<string, string> = {}): Promise<Outcome> {
  return attempt([...berthCommand(), ...args], { cwd: root, limit: 10_000, env });
}
