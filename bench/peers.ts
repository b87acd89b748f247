import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startBerth, until } from "../test/harness/berth.ts";
import { findProgram } from "../test/harness/tools.ts";
import { type Content, manifestType } from "./content.ts";

/** A server under measurement. */
export interface Peer {
  name: "berth" | "registry" | "bare";
  url: string;
  /** What a request carries: Berth runs with tokens, docker-registry with authentication off. */
  headers: Record<string, string>;
  /** Process ids whose memory counts. */
  processes(): number[];
  stop(): Promise<void>;
}

/** docker-registry answers 404 to who does not name the type. */
const accept = manifestType;

export async function startBerthPeer(options: { tls: boolean; workers: number }): Promise<Peer> {
  const berth = await startBerth({
    tls: options.tls,
    args: ["--workers", String(options.workers), "--log-level", "warn"],
  });
  const token = await berth.token("repository:my-project/bench:pull,push", "repository:my-project/*:pull,push");
  return {
    name: "berth",
    url: berth.url.replace("localhost", "127.0.0.1"),
    headers: { accept, authorization: `Bearer ${token}` },
    processes: () => [berth.pid, ...childrenOf(berth.pid)],
    stop: () => berth.stop(),
  };
}

/** Debian's docker-registry 2.8.2: files on the same disk, authentication off, no line for each request either. */
export async function startRegistryPeer(certificate: Certificate | undefined): Promise<Peer> {
  const directory = mkdtempSync(join(tmpdir(), "berth-bench-registry-"));
  const port = freePort();
  const tls =
    certificate === undefined ? "" : `  tls:\n    certificate: ${certificate.cert}\n    key: ${certificate.key}\n`;
  const config = join(directory, "config.yml");
  await Bun.write(
    config,
    `version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    rootdirectory: ${directory}\n  delete:\n    enabled: true\nhttp:\n  addr: 127.0.0.1:${port}\n${tls}`,
  );
  const program = findProgram("docker-registry");
  if (program === null) throw new Error("docker-registry is not installed; see .ci/install");
  const child = Bun.spawn([program, "serve", config], { stdio: ["ignore", "ignore", "ignore"] });
  const url = `${certificate === undefined ? "http" : "https"}://127.0.0.1:${port}`;
  await untilAnswers(url);
  return {
    name: "registry",
    url,
    headers: { accept },
    processes: () => [child.pid],
    async stop() {
      child.kill();
      await child.exited;
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** A bare Bun server that answers the same bytes with the same headers and looks at nothing: the ceiling. */
export async function startBarePeer(content: Content, certificate: Certificate | undefined): Promise<Peer> {
  const settings = JSON.stringify({ directory: content.directory, certificate });
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "bare-server.ts"), settings], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const reader = child.stdout.getReader();
  const port = Number(new TextDecoder().decode((await reader.read()).value));
  return {
    name: "bare",
    url: `${certificate === undefined ? "http" : "https"}://127.0.0.1:${port}`,
    headers: { accept, authorization: "Bearer x" },
    processes: () => [child.pid],
    async stop() {
      child.kill();
      await child.exited;
    },
  };
}

export interface Certificate {
  cert: string;
  key: string;
}

export function freePort(): number {
  const probe = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = probe;
  probe.stop(true);
  return port;
}

async function untilAnswers(url: string): Promise<void> {
  await until(async () => {
    try {
      return (await fetch(`${url}/v2/`, { tls: { rejectUnauthorized: false } })).ok || undefined;
    } catch {
      return undefined;
    }
  });
}

function childrenOf(pid: number): number[] {
  const out = Bun.spawnSync(["ps", "-o", "pid=", "--ppid", String(pid)]).stdout.toString();
  return out
    .split("\n")
    .map(Number)
    .filter((child) => child > 0);
}

/** Resident MiB of the largest of the processes. */
export async function largestResident(peer: Peer): Promise<number> {
  const sizes = await Promise.all(
    peer.processes().map(async (pid) => {
      const status = await Bun.file(`/proc/${pid}/status`).text();
      return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1024;
    }),
  );
  return Math.max(...sizes);
}
