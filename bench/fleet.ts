// The library of certificates looks for this as it loads.
import "reflect-metadata";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { selfSignedCertificate } from "../src/server/certificates.ts";
import { dataDirectory } from "../src/server/data-directory.ts";
import type { Content } from "./content.ts";
import { type Peer, startBarePeer, startBerthPeer, startRegistryPeer } from "./peers.ts";
import { fill } from "./push.ts";
import type { Place } from "./workloads.ts";

/** The servers that one group of workloads is measured on, filled with the same content. */
export interface Fleet {
  berth: Peer;
  registry: Peer;
  bare: Peer;
  stop(): Promise<void>;
}

export async function startFleet(on: Exclude<Place, `empty${string}`>, content: Content): Promise<Fleet> {
  const tls = on.startsWith("https");
  const certificate = tls ? await makeCertificate(content.directory) : undefined;
  const peers: Peer[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(peers.map((peer) => peer.stop()));
    rmSync(join(content.directory, "tls"), { recursive: true, force: true });
  };
  try {
    const berth = await startBerthPeer({ tls, workers: on.endsWith("-workers") ? 4 : 1 });
    peers.push(berth);
    const registry = await startRegistryPeer(certificate);
    peers.push(registry);
    const bare = await startBarePeer(content, certificate);
    peers.push(bare);
    await fill(berth, content);
    await fill(registry, content);
    return { berth, registry, bare, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The peers get a certificate of the same kind as Berth's own. */
async function makeCertificate(directory: string): Promise<{ cert: string; key: string }> {
  const place = join(directory, "tls");
  await Bun.write(join(place, ".keep"), "");
  const files = dataDirectory(place);
  await selfSignedCertificate(files, ["localhost"]);
  return { cert: files.certificate, key: files.certificateKey };
}
