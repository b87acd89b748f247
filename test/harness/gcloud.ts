import { join } from "node:path";
import { type Berth, berthCommand } from "./berth.ts";
import { startDaemon } from "./daemon.ts";
import { freePort } from "./nginx.ts";
import type { Scratch } from "./scratch.ts";
import { attempt, environment, type Outcome, run, type RunOptions } from "./tools.ts";

/** gcloud and its companions, in a shell that has read `berth gcloud-env`, with a configuration of their own. */
export interface Gcloud {
  /** The key file that `gcloud` signed in with. */
  keyFile: string;
  /** Runs `gcloud ARGS` to its end, whatever the end is. */
  attempt(args: readonly string[], options?: RunOptions): Promise<Outcome>;
  /** What `gcloud ARGS` prints, without the last line's end. @throws Error with all that it printed, if it fails */
  text(...args: string[]): Promise<string>;
  /** The same as a value. */
  json<T = unknown>(...args: string[]): Promise<T>;
  /** `gcloud ARGS` with its settings, for who talks with it while it runs. */
  command(...args: string[]): { command: string[]; env: Record<string, string | undefined> };
  /** Runs another program with the same settings: `gsutil`, `docker-credential-gcloud`, `crane` with that helper. */
  program(command: readonly string[], options?: RunOptions): Promise<Outcome>;
}

export interface GcloudOptions {
  /** Content of a service account's key file; by default the admin's. `null`: nobody is signed in. */
  key?: string | null;
  /** Further settings. */
  env?: Record<string, string | undefined>;
  /** In a shell that has read what this proxy printed, in place of `berth gcloud-env`: all host names are the true ones. */
  proxy?: GcloudProxy;
}

/** A running `berth gcloud-proxy`. */
export interface GcloudProxy {
  /** The shell's commands that it printed. */
  settings: string;
  /** `http://127.0.0.1:PORT`, for other programs than gcloud. */
  url: string;
  /** Path of the CA certificate that it made. */
  ca: string;
  stop(): Promise<void>;
}

export async function startGcloudProxy(berth: Berth, scratch: Scratch): Promise<GcloudProxy> {
  const address = `127.0.0.1:${freePort()}`;
  const directory = scratch.directory("gcloud-proxy");
  const authority = berth.url.startsWith("https:") ? ["--ca", berth.ca] : [];
  const flags = ["--server", berth.url, "--listen", address, "--dir", directory, ...authority];
  const command = [...berthCommand(), "gcloud-proxy", ...flags];
  const daemon = await startDaemon(command, { ready: (output) => Promise.resolve(output.includes("leads to")) });
  const settings = daemon
    .output()
    .split("\n")
    .filter((line) => line.startsWith("export "));
  const ca = join(directory, "ca.crt");
  return { settings: `${settings.join("\n")}\n`, url: `http://${address}`, ca, stop: daemon.stop };
}

/** The `CLOUDSDK_…` variables of the machine's own user do not count. */
const forgotten = Object.fromEntries(
  Object.keys(process.env)
    .filter((name) => name.startsWith("CLOUDSDK_"))
    .map((name) => [name, undefined]),
);

/** gcloud as a user of this server has it, signed in with a key by `gcloud auth activate-service-account`. */
export async function openGcloud(
  berth: Berth,
  scratch: Scratch,
  { key = berth.key, env = {}, proxy }: GcloudOptions = {},
): Promise<Gcloud> {
  const configuration = scratch.directory("gcloud");
  const keyFile = join(configuration, "key.json");
  const isSecure = berth.url.startsWith("https:");
  const server = `${isSecure ? "https" : "http"}://${berth.host}`;
  const authority = isSecure ? ["--ca", berth.ca] : [];
  const settings = proxy?.settings ?? (await run([...berthCommand(), "gcloud-env", "--server", server, ...authority]));
  const all: Record<string, string | undefined> = {
    ...scratch.env,
    ...forgotten,
    CLOUDSDK_CONFIG: configuration,
    CLOUDSDK_CORE_DISABLE_PROMPTS: "1",
    CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK: "true",
    CLOUDSDK_SURVEY_DISABLE_PROMPTS: "true",
    ...env,
  };
  const inShell = (command: readonly string[]): string[] => ["sh", "-c", `${settings}exec "$@"`, "sh", ...command];
  const withSettings = ({ env: added, ...options }: RunOptions): RunOptions => ({
    ...options,
    env: { ...all, ...added },
  });
  const gcloud: Gcloud = {
    keyFile,
    command: (...args) => ({ command: inShell(["gcloud", ...args]), env: environment(all) }),
    attempt: (args, options = {}) => attempt(inShell(["gcloud", ...args]), withSettings(options)),
    program: (command, options = {}) => attempt(inShell(command), withSettings(options)),
    async text(...args) {
      const { code, stdout, output } = await gcloud.attempt(args);
      if (code !== 0) throw new Error(`gcloud ${args.join(" ")} exited with ${code}:\n${output}`);
      return stdout.trimEnd();
    },
    json: async <T>(...args: string[]) => JSON.parse(await gcloud.text(...args, "--format=json")) as T,
  };
  if (key !== null) {
    await Bun.write(keyFile, key);
    await gcloud.text("auth", "activate-service-account", `--key-file=${keyFile}`);
  }
  return gcloud;
}

/** Runs calls that do not depend on each other, two at a time: gcloud is busy with its own start for half a second. */
export async function inPairs<T>(...calls: (() => Promise<T>)[]): Promise<T[]> {
  const results: T[] = [];
  for (let i = 0; i < calls.length; i += 2) {
    results.push(...(await Promise.all(calls.slice(i, i + 2).map((call) => call()))));
  }
  return results;
}
