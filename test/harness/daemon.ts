import type { Subprocess } from "bun";
import { until } from "./berth.ts";
import { environment } from "./tools.ts";

export interface DaemonOptions {
  env?: Record<string, string | undefined>;
  /** Gives true once the daemon answers. @param output what it printed so far */
  ready: (output: string) => Promise<boolean>;
}

/** A background program of a test. */
export interface Daemon {
  /** What it printed so far. */
  output(): string;
  /** SIGTERM, and SIGKILL to one that does not end by itself. */
  stop(): Promise<void>;
}

/** Starts a program and waits until it is ready. @throws Error with what it printed, if it ends instead */
export async function startDaemon(command: readonly string[], options: DaemonOptions): Promise<Daemon> {
  const child = Bun.spawn([...command], {
    env: environment(options.env),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  let output = "";
  const collect = async (stream: ReadableStream<Uint8Array>): Promise<void> => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) output = (output + decoder.decode(chunk, { stream: true })).slice(-200_000);
  };
  void Promise.all([collect(child.stdout), collect(child.stderr)]);
  const stop = (): Promise<void> => stopChild(child);
  try {
    await until(
      async () => {
        if (child.exitCode !== null) throw new Error(`${command[0]} exited with ${child.exitCode}:\n${output}`);
        return (await options.ready(output)) || undefined;
      },
      30_000,
      () => `${command[0]} did not get ready:\n${output}`,
    );
  } catch (error) {
    await stop();
    throw error;
  }
  return { output: () => output, stop };
}

async function stopChild(child: Subprocess): Promise<void> {
  child.kill("SIGTERM");
  const stopped = await Promise.race([child.exited, Bun.sleep(15_000).then(() => undefined)]);
  if (stopped === undefined) child.kill("SIGKILL");
  await child.exited;
}
