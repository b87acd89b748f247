import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { databaseOf } from "./postgres-database.ts";

/** What a test may say about the server it wants. */
export interface BerthOptions {
  /** Extra arguments to `berth serve`. */
  args?: string[];
  /** Environment added to the server's. */
  env?: Record<string, string>;
  /** Content of `berth.yaml`; written beside the data directory. */
  config?: string;
  /** An existing data directory; by default a new one, removed by `stop()`. */
  data?: string;
  /** `true`: HTTPS with Berth's own CA. */
  tls?: boolean;
  /** Port to listen on; 0 (the default) lets the server choose. */
  port?: number;
  /** A server whose database this one shares. */
  beside?: Berth;
  /** Command in front of the server's, such as `["strace", "-f"]`. */
  wrapper?: string[];
}

/** A running `berth serve`, as a black box. */
export interface Berth {
  /** `http://127.0.0.1:PORT` or `https://localhost:PORT`. */
  url: string;
  /** `localhost:PORT`, as image names begin. */
  host: string;
  port: number;
  data: string;
  /** Address of the PostgreSQL database, on a suite that has one. */
  database: string | undefined;
  /** Path of the CA certificate; only with `tls`. */
  ca: string;
  /** Content of `admin-key.json`, the password of `_json_key`. */
  key: string;
  /** Process id of the supervisor. */
  pid: number;
  /** All that the server printed so far. */
  output(): string;
  /** A registry token for the given scopes, got from `/v2/token`. */
  token(...scopes: string[]): Promise<string>;
  /** `fetch` against the server with an `Authorization` of its admin key. */
  fetch(path: string, init?: RequestInit): Promise<Response>;
  /** SIGTERM; resolves with the exit code. */
  terminate(): Promise<number>;
  /** SIGKILL to the supervisor and all its children at once. */
  kill(): Promise<void>;
  /** Stops the server and removes its data directory, if the harness made it. */
  stop(): Promise<void>;
}

const root = resolve(import.meta.dir, "../..");

/** The command that starts Berth: the sources, or with BERTH_EXECUTABLE the built program. */
export function berthCommand(): string[] {
  const executable = process.env.BERTH_EXECUTABLE;
  return executable ? [resolve(executable)] : ["sh", join(root, "bin/berth")];
}

/** Starts `berth serve` and waits until `/readyz` answers. */
export async function startBerth(options: BerthOptions = {}): Promise<Berth> {
  const own = options.data === undefined;
  const data = options.data ?? mkdtempSync(join(tmpdir(), "berth-test-"));
  const args = ["serve", "--data", data, "--listen", `127.0.0.1:${options.port ?? 0}`];
  if (options.tls) args.push("--tls", "self-signed");
  const database = options.beside?.database ?? (await databaseOf(data));
  const config = `${data}.yaml`;
  if (options.config !== undefined) {
    await Bun.write(config, options.config);
    args.push("--config", config);
  }
  const child = Bun.spawn([...(options.wrapper ?? []), ...berthCommand(), ...args, ...(options.args ?? [])], {
    cwd: root,
    env: { ...process.env, ...(database !== undefined && { BERTH_METADATA_URL: database }), ...options.env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    detached: true,
  });
  let output = "";
  const collect = async (stream: ReadableStream<Uint8Array>): Promise<void> => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      output = (output + decoder.decode(chunk, { stream: true })).slice(-4_000_000);
    }
  };
  const collected = Promise.all([collect(child.stdout), collect(child.stderr)]);

  const killGroup = (signal: NodeJS.Signals): void => {
    try {
      process.kill(-child.pid, signal);
    } catch {
      // The group is gone already.
    }
  };
  const port = await until(
    () => {
      if (child.exitCode !== null) throw new Error(`berth exited with ${child.exitCode}:\n${output}`);
      // The server prints one line with its address as soon as it answers.
      const found = /listening on https?:\/\/[^\s:]+:(\d+)/.exec(output);
      return found ? Number(found[1]) : undefined;
    },
    20_000,
    () => `berth printed no address:\n${output}`,
  );
  const url = options.tls ? `https://localhost:${port}` : `http://127.0.0.1:${port}`;
  const ca = join(data, "ca.crt");
  const tls = options.tls ? { tls: { ca: readFileSync(ca, "utf8") } } : {};
  const key = options.beside?.key ?? readFileSync(join(data, "admin-key.json"), "utf8");
  const authorization = `Basic ${Buffer.from(`_json_key:${key}`).toString("base64")}`;

  const berth: Berth = {
    url,
    host: `localhost:${port}`,
    port,
    data,
    database,
    ca,
    key,
    pid: child.pid,
    output: () => output,
    async token(...scopes) {
      const query = new URLSearchParams([["service", "localhost"], ...scopes.map((scope) => ["scope", scope])]);
      const reply = await fetch(`${url}/v2/token?${query}`, { headers: { authorization }, ...tls });
      if (!reply.ok) throw new Error(`token: ${reply.status} ${await reply.text()}`);
      return ((await reply.json()) as { token: string }).token;
    },
    fetch: (path, init = {}) => {
      const headers = new Headers(init.headers);
      if (!headers.has("authorization")) headers.set("authorization", authorization);
      return fetch(url + path, { ...init, headers, ...tls });
    },
    async terminate() {
      child.kill("SIGTERM");
      const code = await child.exited;
      await collected;
      return code;
    },
    async kill() {
      killGroup("SIGKILL");
      await child.exited;
    },
    async stop() {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill("SIGTERM");
        const exited = await Promise.race([child.exited, Bun.sleep(15_000).then(() => undefined)]);
        if (exited === undefined) killGroup("SIGKILL");
      }
      if (!own) return;
      rmSync(data, { recursive: true, force: true });
      rmSync(config, { force: true });
    },
  };
  await until(
    async () => (await fetch(`${url}/readyz`, tls)).ok || undefined,
    20_000,
    () => `berth did not get ready:\n${output}`,
  );
  return berth;
}

/** Polls `probe` each 20 ms until it gives a value; throws `message()` after `limit` ms. */
export async function until<T>(
  probe: () => T | undefined | Promise<T | undefined>,
  limit = 10_000,
  message: () => string = () => "the condition did not come true in time",
): Promise<T> {
  const end = performance.now() + limit;
  for (;;) {
    const value = await probe();
    if (value !== undefined) return value;
    if (performance.now() > end) throw new Error(message());
    await Bun.sleep(20);
  }
}
