import { homedir } from "node:os";
import { delimiter, join } from "node:path";

/** Where `.ci/install` puts the programs that no Debian package has, and what is worth keeping between runs. */
export const toolsDirectory = process.env.BERTH_TOOLS ?? join(homedir(), ".cache/berth-tools");

// dockerd, containerd and nginx live in sbin, which only root's PATH holds.
const path = [toolsDirectory, process.env.PATH, "/usr/local/sbin", "/usr/sbin", "/sbin"].join(delimiter);

/** Path of a program, or `null`. */
export function findProgram(name: string): string | null {
  return Bun.which(name, { PATH: path });
}

/** The environment of this process, with every program of the suites on PATH. */
export function environment(added: Record<string, string | undefined> = {}): Record<string, string | undefined> {
  return { ...process.env, PATH: path, ...added };
}

export interface RunOptions {
  /** Added to this process's environment; `undefined` takes a variable away. */
  env?: Record<string, string | undefined>;
  /** What the program reads from its standard input. */
  input?: string;
  cwd?: string;
  /** Milliseconds after which the program is killed. */
  limit?: number;
}

export interface Outcome {
  code: number;
  stdout: string;
  /** Standard output and standard error, one after the other. */
  output: string;
}

/** Runs a program to its end, whatever the end is. */
export async function attempt(command: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const child = Bun.spawn([...command], {
    env: environment(options.env),
    stdin: new Blob([options.input ?? ""]),
    stdout: "pipe",
    stderr: "pipe",
    timeout: options.limit ?? 120_000,
    killSignal: "SIGKILL",
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, stdout, output: stdout + stderr };
}

/** Runs a program and gives its standard output. @throws Error with all that it printed, unless it exits with 0 */
export async function run(command: readonly string[], options: RunOptions = {}): Promise<string> {
  const { code, stdout, output } = await attempt(command, options);
  if (code !== 0) throw new Error(`${command.join(" ").slice(0, 400)} exited with ${code}:\n${output.slice(-4000)}`);
  return stdout;
}
