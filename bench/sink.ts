import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../test/harness/tools.ts";
import type { Peer } from "./peers.ts";

let built: Promise<string> | undefined;

/** Compiles bench/sink.c, once a run. */
async function build(): Promise<string> {
  const program = join(mkdtempSync(join(tmpdir(), "berth-bench-sink-")), "sink");
  await run(["gcc", "-O2", "-o", program, join(import.meta.dir, "sink.c")]);
  return program;
}

/** Bytes a second that a server sends of one blob over plain HTTP, to a client that costs next to nothing. */
export async function sink(
  peer: Peer,
  options: { path: string; size: number; connections: number; seconds: number },
): Promise<number> {
  built ??= build();
  const program = await built;
  const { host, port } = new URL(peer.url);
  const lines = Object.entries({ host, ...peer.headers }).map(([name, value]) => `${name}: ${value}`);
  const directory = mkdtempSync(join(tmpdir(), "berth-bench-request-"));
  const file = join(directory, "request");
  await Bun.write(file, [`GET ${options.path} HTTP/1.1`, ...lines, "", ""].join("\r\n"));
  try {
    const { connections, seconds, size } = options;
    return Number(await run([program, port, `${connections}`, `${seconds}`, file, `${size}`]));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
