import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../test/harness/tools.ts";
import type { Peer } from "./peers.ts";

const built = new Map<string, Promise<string>>();

/** Compiles a client, once a run. */
function build(name: "sink" | "tls-sink"): Promise<string> {
  let program = built.get(name);
  if (program === undefined) {
    const path = join(mkdtempSync(join(tmpdir(), "berth-bench-sink-")), name);
    const libraries = name === "sink" ? [] : ["-lssl", "-lcrypto", "-lpthread"];
    program = run(["gcc", "-O2", "-o", path, join(import.meta.dir, `${name}.c`), ...libraries]).then(() => path);
    built.set(name, program);
  }
  return program;
}

/** Bytes a second that a server sends of one blob, to a client that costs next to nothing. */
export async function sink(
  peer: Peer,
  options: { path: string; size: number; connections: number; seconds: number },
): Promise<number> {
  const { protocol, host, port } = new URL(peer.url);
  const program = await build(protocol === "https:" ? "tls-sink" : "sink");
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
