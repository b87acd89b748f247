import { parseListen } from "./listen-address.ts";

/** The port to listen on; `release` once the API processes do. */
export interface PortClaim {
  port: number;
  release(): void;
}

/** How long another server that starts may take to listen. After that, what it holds is not believed. */
const patience = 10_000;

/**
 * The port to listen on, found free. The API processes share it, so that the kernel would not tell them if another
 * program had it too; and since nothing holds it between this look and their start, two servers that start at once
 * take turns.
 * @throws Error if another program listens there
 */
export async function claimPort(listen: string): Promise<PortClaim> {
  const { hostname, port } = parseListen(listen);
  const turn = await takeTurn(port);
  try {
    const probe = Bun.listen({ hostname, port, socket: { data() {} } });
    const found = probe.port;
    probe.stop(true);
    return { port: found, release: () => turn?.stop(true) };
  } catch (error) {
    turn?.stop(true);
    if (codeOf(error) !== "EADDRINUSE") throw error;
    throw new Error(`another program is listening on ${listen}; choose another address with --listen`, {
      cause: error,
    });
  }
}

/** A name that one process of this network namespace can have, and that goes with it. Only Linux has such names. */
async function takeTurn(port: number): Promise<{ stop(force: boolean): void } | undefined> {
  if (process.platform !== "linux") return undefined;
  const end = Date.now() + patience;
  while (Date.now() < end) {
    try {
      return Bun.listen({ unix: `\0berth-starts-on-${port}`, socket: { data() {} } });
    } catch (error) {
      if (codeOf(error) !== "EADDRINUSE") throw error;
      await Bun.sleep(50);
    }
  }
  return undefined;
}

function codeOf(error: unknown): string | undefined {
  return (error as { code?: string }).code;
}
