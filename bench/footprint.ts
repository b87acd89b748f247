import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../test/harness/berth.ts";
import { digestOf } from "../src/names/digest.ts";
import { type Content, randomBytes, repository } from "./content.ts";
import { freePort, largestResident, type Peer } from "./peers.ts";
import { pushBlob } from "./push.ts";
import { wrk } from "./wrk.ts";

/** Resident memory after the workloads, and over a mixed run of pulls and pushes. MiB of the largest process. */
export async function measureMemory(peer: Peer, content: Content, seconds: number) {
  const after = await largestResident(peer);
  const sizes: number[] = [];
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    const paths = [
      `/v2/${repository}/manifests/v1`,
      ...content.smallDigests.map((digest) => `/v2/${repository}/blobs/${digest}`),
    ];
    const bytes = randomBytes(8 * 2 ** 20);
    await Promise.all([
      wrk(peer, { connections: 16, seconds: 1, paths }),
      pushBlob(peer, repository, digestOf(bytes), bytes),
      fetch(`${peer.url}/v2/${repository}/tags/list`, { headers: peer.headers }).then((reply) => reply.arrayBuffer()),
    ]);
    sizes.push(await largestResident(peer));
  }
  return { after, first: sizes[0] ?? after, last: sizes.at(-1) ?? after, peak: Math.max(...sizes), seconds };
}

/** Seconds from `npm start` on an empty directory to the first answer. */
export async function measureStart(): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), "berth-bench-start-"));
  const port = freePort();
  const begun = performance.now();
  const child = Bun.spawn(
    ["npm", "start", "--silent", "--", "--data", join(directory, "data"), "--listen", `127.0.0.1:${port}`],
    {
      cwd: join(import.meta.dir, ".."),
      stdio: ["ignore", "ignore", "ignore"],
      detached: true,
    },
  );
  try {
    await until(() =>
      fetch(`http://127.0.0.1:${port}/v2/`).then(
        (reply) => reply.status === 401 || undefined,
        () => undefined,
      ),
    );
    return (performance.now() - begun) / 1000;
  } finally {
    process.kill(-child.pid, "SIGTERM");
    await child.exited;
    rmSync(directory, { recursive: true, force: true });
  }
}
