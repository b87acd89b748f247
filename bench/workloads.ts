import { join } from "node:path";
import { digestOf } from "../src/names/digest.ts";
import { type Content, makeManifest, randomBytes, repository } from "./content.ts";
import type { Peer } from "./peers.ts";
import { type Layer, pushBlob, pushLayers, pushManifest } from "./push.ts";
import { sink } from "./sink.ts";
import { wrk } from "./wrk.ts";

/** Sizes and times of a run: the real ones, or small ones that only show that everything works. */
export interface Scale {
  seconds: number;
  largeBytes: number;
  layerBytes: number;
  smallBlobs: number;
}

/** A fleet of the peers, Berth with one API process or with four; or servers of its own for each sample. */
export type Place = "http" | "https" | "http-workers" | "https-workers" | "empty" | "empty-workers";

export interface Workload {
  name: string;
  title: string;
  unit: "requests/s" | "MiB/s" | "images/s";
  on: Place;
  /** Least ratios to the peers; a peer without one is not measured. */
  targets: { registry: number; bare?: number };
  /** One round on one peer; more is better. */
  measure(peer: Peer, content: Content, scale: Scale): Promise<Sample>;
}

export interface Sample {
  value: number;
  /** Milliseconds: the 99th percentile of manifest pulls meanwhile, where a workload looks at it. */
  pullP99?: number;
}

const MiB = 2 ** 20;

function pull(
  name: string,
  title: string,
  options: Pick<Workload, "targets"> & { connections: number },
  paths: (content: Content) => string[],
): Workload {
  const { connections, targets } = options;
  return {
    name,
    title,
    unit: "requests/s",
    on: "http",
    targets,
    async measure(peer, content, { seconds }) {
      return { value: (await wrk(peer, { connections, seconds, paths: paths(content) })).requestsPerSecond };
    },
  };
}

const blobPath = (digest: string): string => `/v2/${repository}/blobs/${digest}`;
/** One large blob over and over. */
function pullLarge(connections: number, on: Exclude<Place, `empty${string}`>): Workload {
  const how = on.toUpperCase().replace("-WORKERS", ", 4 API processes");
  return {
    name: `pull-large-${connections}-${on}`,
    title: `pull one 256 MiB blob, ${connections} connection${connections === 1 ? "" : "s"}, ${how}`,
    unit: "MiB/s",
    on,
    targets: { registry: 1.4, bare: 0.9 },
    async measure(peer, content, { seconds, largeBytes }) {
      const path = blobPath(peer.name === "bare" ? "large" : content.largeDigest);
      return { value: (await sink(peer, { path, size: largeBytes, connections, seconds })) / MiB };
    },
  };
}

let counter = 0;

/** PUTs of manifests that differ in one annotation, by tag, 64 at a time, while another client pulls one each 5 ms. */
function putManifests(workers: 1 | 4): Workload {
  return {
    name: `put-manifest-${workers}`,
    title: `PUT small manifests, 64 connections, ${workers} API process${workers === 1 ? "" : "es"}`,
    unit: "requests/s",
    on: workers === 1 ? "http" : "http-workers",
    targets: { registry: 5 },
    async measure(peer, content, { seconds }) {
      const template = JSON.parse(Buffer.from(content.manifest).toString()) as { config: never; layers: never[] };
      const body = JSON.stringify(makeManifest(template.config, template.layers, { n: "@" }));
      const [head, tail] = body.split("@").map((part) => JSON.stringify(part)) as [string, string];
      const run = ++counter;
      const script = `headers["content-type"]="application/vnd.oci.image.manifest.v1+json"
function request()
  at = at + 1
  return wrk.format("PUT", "/v2/${repository}/manifests/r${run}-" .. at, headers, ${head} .. "${run}-" .. at .. ${tail})
end`;
      const stop = new AbortController();
      const latencies = pullMeanwhile(peer, stop.signal);
      const result = await wrk(peer, { connections: 64, seconds, paths: [], script });
      stop.abort();
      return { value: result.requestsPerSecond, pullP99: percentile(await latencies, 0.99) };
    },
  };
}

async function pullMeanwhile(peer: Peer, signal: AbortSignal): Promise<number[]> {
  const latencies: number[] = [];
  while (!signal.aborted) {
    const begun = performance.now();
    const reply = await fetch(`${peer.url}/v2/${repository}/manifests/v1`, { headers: peer.headers });
    await reply.arrayBuffer();
    latencies.push(performance.now() - begun);
    await Bun.sleep(5);
  }
  return latencies;
}

export function percentile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}

/** Content that no server has seen, as files that are on the disk before the clock starts. */
async function makeLayers(directory: string, sizes: readonly number[]): Promise<Layer[]> {
  const layers: Layer[] = [];
  for (const size of sizes) {
    const bytes = randomBytes(size);
    const path = join(directory, `layer-${layers.length}`);
    await Bun.write(path, bytes);
    layers.push({ path, digest: digestOf(bytes), size });
  }
  await Bun.spawn(["sync"]).exited;
  return layers;
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work();
  return (performance.now() - begun) / 1000;
}

const pushLarge: Workload = {
  name: "push-large",
  title: "push one 256 MiB blob",
  unit: "MiB/s",
  on: "empty",
  targets: { registry: 2.5 },
  async measure(peer, { directory }, { largeBytes }) {
    const [layer] = (await makeLayers(directory, [largeBytes])) as [Layer];
    const seconds = await timed(() => pushLayers(peer, repository, [layer]));
    return { value: largeBytes / MiB / seconds };
  },
};

/** Eight clients, each with an image of eight layers that no server has seen. */
const pushImages: Workload = {
  name: "push-images",
  title: "push an 8-layer image, 8 clients at once, 1 API process",
  unit: "images/s",
  on: "empty",
  targets: { registry: 2 },
  async measure(peer, { directory }, { layerBytes }) {
    const sizes = Array.from({ length: 64 }, (_, i) => Math.ceil((layerBytes * ((i % 8) + 1)) / 8));
    const layers = await makeLayers(directory, sizes);
    const images = Array.from({ length: 8 }, (_, i) => layers.slice(i * 8, i * 8 + 8));
    const run = ++counter;
    const seconds = await timed(() =>
      Promise.all(
        images.map(async (own, client) => {
          const name = `my-project/push/${run}-${client}`;
          const config = Buffer.from(JSON.stringify({ os: "linux", architecture: "amd64", n: name }));
          const digest = digestOf(config);
          await Promise.all([pushLayers(peer, name, own), pushBlob(peer, name, digest, config)]);
          const parts = own.map(({ digest: of, size }) => ({ digest: of, size }));
          const manifest = makeManifest({ digest, size: config.byteLength }, parts);
          await pushManifest(peer, name, "v1", Buffer.from(JSON.stringify(manifest)));
        }),
      ),
    );
    return { value: 8 / seconds };
  },
};

export const workloads: readonly Workload[] = [
  pull(
    "manifest-tag",
    "manifest by tag, 32 connections",
    { connections: 32, targets: { registry: 15, bare: 0.35 } },
    () => [`/v2/${repository}/manifests/v1`],
  ),
  pull(
    "manifest-digest",
    "manifest by digest, 32 connections",
    { connections: 32, targets: { registry: 15, bare: 0.35 } },
    (content) => [`/v2/${repository}/manifests/${content.manifestDigest}`],
  ),
  ...([1, 8] as const).flatMap((connections) => (["http", "https"] as const).map((on) => pullLarge(connections, on))),
  pullLarge(8, "http-workers"),
  pullLarge(8, "https-workers"),
  pull("pull-small", "pull 4 KiB blobs, 64 connections", { connections: 64, targets: { registry: 8 } }, (content) =>
    content.smallDigests.map(blobPath),
  ),
  pushLarge,
  pushImages,
  {
    ...pushImages,
    name: "push-images-workers",
    title: pushImages.title.replace("1 API process", "4 API processes"),
    on: "empty-workers",
  },
  putManifests(1),
  putManifests(4),
];
