import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findProgram, run } from "../test/harness/tools.ts";
import type { Peer } from "./peers.ts";

export interface WrkOptions {
  connections: number;
  seconds: number;
  /** Paths to ask for in turn. */
  paths: string[];
  /** Lua that replaces `request`; sees `headers`. */
  script?: string;
}

export interface WrkResult {
  requestsPerSecond: number;
  bytesPerSecond: number;
}

const units: Record<string, number> = { B: 1, KB: 2 ** 10, MB: 2 ** 20, GB: 2 ** 30 };

/** Loads a server with wrk, whose one thread takes about a tenth of what the server takes. @throws on any error reply */
export async function wrk(peer: Peer, { connections, seconds, paths, script }: WrkOptions): Promise<WrkResult> {
  if (findProgram("wrk") === null) throw new Error("wrk is not installed; see .ci/install");
  const directory = mkdtempSync(join(tmpdir(), "berth-bench-wrk-"));
  const file = join(directory, "load.lua");
  const list = paths.map((path) => JSON.stringify(path)).join(",");
  const headers = Object.entries(peer.headers).map(
    ([name, value]) => `[${JSON.stringify(name)}]=${JSON.stringify(value)}`,
  );
  const turn = `function request() at = at % #paths + 1; return wrk.format("GET", paths[at], headers) end`;
  await Bun.write(file, `paths={${list}}\nheaders={${headers.join(",")}}\nat=0\n${script ?? turn}\n`);
  try {
    const command = ["wrk", "-t1", `-c${connections}`, `-d${seconds}s`, "--timeout", "30s", "-s", file, peer.url];
    const out = await run(command);
    if (/Non-2xx|Socket errors: .*[1-9]/.test(out)) throw new Error(`${peer.name}: ${out}`);
    const rate = /Requests\/sec:\s+([\d.]+)/.exec(out)?.[1];
    const transfer = /Transfer\/sec:\s+([\d.]+)([KMG]?B)/.exec(out);
    return {
      requestsPerSecond: Number(rate),
      bytesPerSecond: Number(transfer?.[1]) * (units[transfer?.[2] ?? "B"] ?? 1),
    };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
