import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Berth, startBerth } from "../harness/berth.ts";
import { startNginx } from "../harness/nginx.ts";
import { pushBlob } from "../harness/registry.ts";
import { hashFile, makeSampleImage, type SampleImage } from "../harness/sample-image.ts";
import { makeScratch } from "../harness/scratch.ts";
import { type Site, siteOf } from "../harness/site.ts";
import { describeAsRoot } from "../harness/suites.ts";
import { allClients } from "./drivers/all.ts";
import type { ClientSession } from "./drivers/client.ts";

setDefaultTimeout(180_000);

const scratch = makeScratch();
const servers: { stop(): Promise<void> }[] = [];
const streaming = "stores: { default: { driver: filesystem, transfer: stream } }\n";
const trustNginx = ["--trusted-proxies", "127.0.0.1/32"];

async function berth(options: Parameters<typeof startBerth>[0]): Promise<Berth> {
  const server = await startBerth(options);
  servers.push(server);
  return server;
}

/** nginx in front of a Berth that believes its headers. */
async function proxied(tls: boolean, directives: string[], config?: string): Promise<Site> {
  const { key, port } = await berth({ args: trustNginx, ...(config === undefined ? {} : { config }) });
  const { host, ca, stop } = await startNginx(scratch, { upstream: port, tls, directives });
  servers.push({ stop });
  return { host, key, ...(ca === undefined ? {} : { ca }) };
}

/** nginx's own defaults are HTTP/1.0 towards the server and buffers in both directions. */
const unbuffered = ["proxy_http_version 1.1;", "proxy_request_buffering off;", "proxy_buffering off;"];

const kinds: readonly { name: string; programs?: string[]; start: () => Promise<Site> }[] = [
  { name: "HTTP", start: async () => siteOf(await berth({})) },
  { name: "HTTPS", start: async () => siteOf(await berth({ tls: true })) },
  { name: "HTTP from a store that streams", start: async () => siteOf(await berth({ config: streaming })) },
  { name: "HTTPS from a store that streams", start: async () => siteOf(await berth({ config: streaming, tls: true })) },
  { name: "nginx as it comes", programs: ["nginx"], start: () => proxied(false, []) },
  { name: "nginx with TLS, unbuffered", programs: ["nginx", "openssl"], start: () => proxied(true, unbuffered) },
  { name: "nginx and a store that streams", programs: ["nginx"], start: () => proxied(false, [], streaming) },
];

let sample: SampleImage;
const sites = new Map<string, Promise<Site>>();
const sessions = new Map<string, Promise<ClientSession>>();
/** Tag of what each client pushed by plain HTTP. */
const pushed: string[] = [];

const payloadHash = (root: string): Promise<string> => hashFile(root, sample.file);

/** Servers and clients are started by the first test that uses them, and serve the others too. */
function once<T>(made: Map<string, Promise<T>>, name: string, make: () => Promise<T>): Promise<T> {
  const known = made.get(name) ?? make();
  made.set(name, known);
  return known;
}

beforeAll(async () => {
  sample = await makeSampleImage(scratch);
});

afterAll(async () => {
  for (const opened of await Promise.allSettled(sessions.values())) {
    if (opened.status === "fulfilled") await opened.value.close();
  }
  for (const server of servers.toReversed()) await server.stop();
  await scratch.remove();
});

for (const client of allClients) {
  for (const kind of kinds) {
    describeAsRoot([...client.programs, ...(kind.programs ?? [])], `${client.name} over ${kind.name}`, () => {
      test("pushes an image and pulls it again", async () => {
        const session = await once(sessions, client.name, () => client.open(scratch));
        const site = await once(sites, kind.name, kind.start);
        await session.login(site);
        const image = `${site.host}/my-project/clients/${client.name}:v1`;
        await session.push(site, sample, image);
        if (kind.name === "HTTP") pushed.push(`my-project/clients/${client.name}:v1`);
        expect(await session.pull(site, image, payloadHash)).toBe(sample.fileHash);
      });
    });
  }
}

describe("the stores of these servers", () => {
  for (const [config, streams] of [
    [streaming, true],
    ["", false],
  ] as const) {
    test(streams ? "stream where they are told to: no reply says its length" : "else send files", async () => {
      const server = await berth({ config });
      const { digest } = await pushBlob(server, "my-project/clients/blob", new Uint8Array(2 ** 21), "");
      const reply = await server.fetch(`/v2/my-project/clients/blob/blobs/${digest}`);
      expect((await reply.bytes()).length).toBe(2 ** 21);
      expect(reply.headers.has("content-length")).toBe(!streams);
    });
  }
});

describe("what one client pushed another can pull", () => {
  for (const client of allClients) {
    describeAsRoot(client.programs, client.name, () => {
      test("pulls everybody's", async () => {
        const session = await once(sessions, client.name, () => client.open(scratch));
        const site = (await sites.get("HTTP")) as Site;
        expect(pushed.length).toBeGreaterThan(0);
        for (const name of pushed) {
          expect([name, await session.pull(site, `${site.host}/${name}`, payloadHash)]).toEqual([
            name,
            sample.fileHash,
          ]);
        }
      });
    });
  }
});
