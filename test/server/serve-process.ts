import { berthCommand, until } from "../harness/berth.ts";
import { environment } from "../harness/tools.ts";

export interface ServeOptions {
  env?: Record<string, string | undefined>;
  cwd?: string;
  /** The program with its first arguments; by default Berth's own command. */
  command?: readonly string[];
}

/** A `berth serve` of which nothing is known yet: it may also refuse to start. */
export interface ServeProcess {
  pid: number;
  /** All that it printed so far, on both streams. */
  output(): string;
  /** Its exit code; 128 and more for one that a signal ended. */
  exited: Promise<number>;
  /** The address it says it listens on. @throws Error with its output, if it ends instead */
  address(): Promise<URL>;
  signal(name: NodeJS.Signals): void;
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number>;
}

/** Starts `berth serve ARGS` and does not wait for anything. */
export function serve(args: readonly string[], options: ServeOptions = {}): ServeProcess {
  const child = Bun.spawn([...(options.command ?? [...berthCommand(), "serve"]), ...args], {
    env: environment(options.env),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  let output = "";
  const collect = async (stream: ReadableStream<Uint8Array>): Promise<void> => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) output += decoder.decode(chunk, { stream: true });
  };
  const exited = Promise.all([child.exited, collect(child.stdout), collect(child.stderr)]).then(([code]) => code);
  return {
    pid: child.pid,
    output: () => output,
    exited,
    address: () =>
      until(
        () => {
          const found = /^berth: listening on (https?:\/\/\S+)$/m.exec(output)?.[1];
          if (found !== undefined) return new URL(found);
          if (child.exitCode !== null || child.signalCode !== null) throw new Error(`it ended:\n${output}`);
          return undefined;
        },
        20_000,
        () => `it printed no address:\n${output}`,
      ),
    signal: (name) => child.kill(name),
    stop() {
      child.kill("SIGTERM");
      return exited;
    },
  };
}
