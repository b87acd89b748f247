import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { basic } from "../harness/caller.ts";
import { contentOf, imageOf, noise } from "../harness/content.ts";
import { mediaTypes } from "../harness/image-layout.ts";
import { makeScratch, type Scratch } from "../harness/scratch.ts";
import { serve, type ServeProcess } from "./serve-process.ts";

/**
 * Every option that shows from outside, with another value in each place: what the server does tells which of them
 * counted. Options whose effect takes long to see, or which exclude others, have suites of their own; that each of
 * them is read from each place stands in src/server/settings.test.ts.
 */
const places = ["flag", "variable", "file", "default"] as const;
type Place = (typeof places)[number];

interface Seen {
  url: URL;
  /** Directory that holds the four data directories. */
  home: string;
  /** The directory that the server took for its data. */
  data: string;
  server: ServeProcess;
  /** A request with the owner's credential. */
  send(
    method: string,
    path: string,
    init?: { host?: string; type?: string; body?: string | Uint8Array },
  ): Promise<Response>;
}

interface Row {
  flag: string;
  variable: string;
  /** Lines of `berth.yaml`. */
  file: string;
  /** What is to be seen under the value of each place. */
  shows: Record<Place, unknown>;
  look(seen: Seen): unknown;
}

const repository = "my-project/options";

/** Manifests and blobs are refused from a limit on: the sizes of those that are taken. */
const sizes = [1000, 1500, 2500, 3500];

async function takenManifests({ send }: Seen): Promise<number[]> {
  const taken: number[] = [];
  for (const size of sizes) {
    const bare = { schemaVersion: 2, mediaType: mediaTypes.index, manifests: [], annotations: { a: "" } };
    const body = JSON.stringify({ ...bare, annotations: { a: "x".repeat(size - JSON.stringify(bare).length) } });
    const reply = await send("PUT", `/v2/${repository}/manifests/size`, { type: mediaTypes.index, body });
    if (reply.status === 201) taken.push(size);
  }
  return taken;
}

async function takenBlobs({ send }: Seen): Promise<number[]> {
  const taken: number[] = [];
  for (const size of sizes) {
    const { bytes, digest } = contentOf(noise("size", size));
    const reply = await send("POST", `/v2/${repository}/blobs/uploads/?digest=${digest}`, { body: bytes });
    if (reply.status === 201) taken.push(size);
  }
  return taken;
}

/** Uploads that one caller can open, up to four. */
async function openUploads({ send }: Seen): Promise<number> {
  const replies: Response[] = [];
  for (let i = 0; i < 4; i++) replies.push(await send("POST", `/v2/${repository}/blobs/uploads/`));
  const open = replies.filter(({ status }) => status === 202);
  for (const { headers } of open) await send("DELETE", headers.get("location") as string);
  return open.length;
}

/** Of the names, those whose registry is not `gcr.io`'s. */
async function ownRegistries({ send }: Seen): Promise<string[]> {
  const body = JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.index, manifests: [] });
  await send("PUT", `/v2/${repository}/manifests/hosts`, { type: mediaTypes.index, body });
  const own: string[] = [];
  for (const host of ["flag.test", "variable.test", "file.test"]) {
    const { status } = await send("HEAD", `/v2/${repository}/manifests/hosts`, { host });
    if (status === 404) own.push(host);
  }
  return own;
}

async function deleteTagged({ send }: Seen): Promise<number> {
  const body = JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.index, manifests: [], annotations: { d: "" } });
  await send("PUT", `/v2/${repository}/manifests/tagged`, { type: mediaTypes.index, body });
  return (await send("DELETE", `/v2/${repository}/manifests/${contentOf(body).digest}`)).status;
}

async function putWithoutBlobs({ send }: Seen): Promise<number> {
  const body = JSON.stringify(imageOf("never pushed").document);
  return (await send("PUT", `/v2/${repository}/manifests/missing`, { type: mediaTypes.image, body })).status;
}

async function forwardedHost({ url }: Seen): Promise<boolean> {
  const reply = await fetch(new URL("/v2/", url), { headers: { "x-forwarded-host": "behind.test" } });
  return reply.headers.get("www-authenticate")?.includes("behind.test") ?? false;
}

async function processesUp({ url }: Seen): Promise<number> {
  const text = await (await fetch(new URL("/metrics", url))).text();
  // The supervisor and the background process are counted too.
  return Number(/^berth_process_up (\d+)$/m.exec(text)?.[1]) - 2;
}

const rows: Record<string, Row> = {
  listen: {
    flag: "127.0.0.2:0",
    variable: "127.0.0.3:0",
    file: "listen: 127.0.0.4:0",
    // What it is by default stands in the unit tests: port 5000 may be taken on this machine.
    shows: { flag: "127.0.0.2", variable: "127.0.0.3", file: "127.0.0.4", default: "127.0.0.5" },
    look: ({ url }) => url.hostname,
  },
  data: {
    flag: "flag",
    variable: "variable",
    file: "data: file",
    shows: { flag: ["flag"], variable: ["variable"], file: ["file"], default: ["data"] },
    look: ({ home }) => ["flag", "variable", "file", "data"].filter((name) => existsSync(join(home, name, "berth.db"))),
  },
  "public-name": {
    flag: "flag.test",
    variable: "variable.test:1",
    file: "public-name: file.test",
    shows: {
      flag: "http://flag.test/token",
      variable: "http://variable.test:1/token",
      file: "http://file.test/token",
      default: "http://127.0.0.5:PORT/token",
    },
    look: ({ data, url }) =>
      (JSON.parse(readFileSync(join(data, "admin-key.json"), "utf8")) as { token_uri: string }).token_uri.replace(
        url.host,
        "127.0.0.5:PORT",
      ),
  },
  "trusted-proxies": {
    flag: "127.0.0.0/8",
    variable: "10.0.0.1",
    file: "trusted-proxies: [10.0.0.1, 127.0.0.1]",
    shows: { flag: true, variable: false, file: true, default: false },
    look: forwardedHost,
  },
  workers: {
    flag: "2",
    variable: "1",
    file: "workers: 3",
    shows: { flag: 2, variable: 1, file: 3, default: 1 },
    look: processesUp,
  },
  hosts: {
    flag: "[flag.test]",
    variable: "[variable.test]",
    file: "hosts: [file.test]",
    shows: { flag: ["flag.test"], variable: ["variable.test"], file: ["file.test"], default: [] },
    look: ownRegistries,
  },
  stores: {
    flag: "{default: {driver: filesystem, path: of-flag}}",
    variable: "{default: {driver: filesystem, path: of-variable}}",
    file: "stores:\n  default:\n    driver: filesystem\n    path: of-file",
    shows: { flag: ["of-flag"], variable: ["of-variable"], file: ["of-file"], default: ["blobs"] },
    look: ({ data }) =>
      ["of-flag", "of-variable", "of-file", "blobs"].filter((name) => existsSync(join(data, name, "staging"))),
  },
  "protect-referenced": {
    flag: "true",
    variable: "false",
    file: "protect-referenced: true",
    shows: { flag: 400, variable: 202, file: 400, default: 202 },
    look: deleteTagged,
  },
  "allow-missing-blobs": {
    flag: "true",
    variable: "false",
    file: "allow-missing-blobs: true",
    shows: { flag: 201, variable: 404, file: 201, default: 404 },
    look: putWithoutBlobs,
  },
  "limits-manifest-size": {
    flag: "1KiB",
    variable: "2KiB",
    file: "limits:\n  manifest-size: 3KiB\n  upload-size: 3KiB\n  open-uploads: 3",
    shows: { flag: sizes.slice(0, 1), variable: sizes.slice(0, 2), file: sizes.slice(0, 3), default: sizes },
    look: takenManifests,
  },
  "limits-upload-size": {
    flag: "1KiB",
    variable: "2KiB",
    file: "",
    shows: { flag: sizes.slice(0, 1), variable: sizes.slice(0, 2), file: sizes.slice(0, 3), default: sizes },
    look: takenBlobs,
  },
  "limits-open-uploads": {
    flag: "1",
    variable: "2",
    file: "",
    shows: { flag: 1, variable: 2, file: 3, default: 4 },
    look: openUploads,
  },
};

let scratch: Scratch;
beforeAll(() => {
  scratch = makeScratch();
});
afterAll(() => scratch.remove());

/** Starts a server with all options set in the given place and in those that count less. */
async function startWith(place: Place): Promise<Seen> {
  const home = scratch.directory(place);
  const from = places.indexOf(place);
  const args = from > 0 ? [] : Object.entries(rows).map(([name, row]) => `--${name}=${row.flag}`);
  const variables = Object.entries(rows).map(([name, { variable }]) => [
    `BERTH_${name.toUpperCase().replaceAll("-", "_")}`,
    variable,
  ]);
  const env: Record<string, string> = from > 1 ? {} : (Object.fromEntries(variables) as Record<string, string>);
  if (from <= 2) {
    const lines = Object.values(rows).map(({ file }) => file);
    writeFileSync(join(home, "berth.yaml"), `${lines.join("\n")}\n`);
    env.BERTH_CONFIG = join(home, "berth.yaml");
  } else {
    env.BERTH_LISTEN = "127.0.0.5:0";
  }
  const server = serve(args, { env, cwd: home });
  const url = await server.address();
  const data = join(home, place === "default" ? "data" : place);
  const authorization = basic(readFileSync(join(data, "admin-key.json"), "utf8"));
  return {
    url,
    home,
    data,
    server,
    send: (method, path, { host, type, body } = {}) =>
      fetch(new URL(path, url), {
        method,
        headers: {
          authorization,
          ...(host === undefined ? {} : { host }),
          ...(type === undefined ? {} : { "content-type": type }),
        },
        ...(body === undefined ? {} : { body: body as string }),
      }),
  };
}

describe.each(places)("counting from the %s on", (place) => {
  let seen: Seen;
  beforeAll(async () => {
    seen = await startWith(place);
  });
  afterAll(async () => {
    expect(await seen.server.stop()).toBe(0);
  });

  test.each(Object.entries(rows))("%s", async (_, { look, shows }) => {
    expect(await look(seen)).toEqual(shows[place]);
  });
});
