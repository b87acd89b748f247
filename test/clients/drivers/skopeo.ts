import { join } from "node:path";
import { readLayout } from "../../harness/image-layout.ts";
import type { Scratch } from "../../harness/scratch.ts";
import { type Site, user } from "../../harness/site.ts";
import { run } from "../../harness/tools.ts";
import type { Client } from "./client.ts";
import { trustFlags, unpack } from "./container-tools.ts";

export const skopeo: Client = {
  name: "skopeo",
  programs: ["skopeo"],
  async open(scratch, { env = {} } = {}) {
    const call = (args: string[], input = ""): Promise<string> =>
      run(["skopeo", ...args], { env: { ...scratch.env, ...env }, input });
    return {
      login: (site) => skopeoLogin(scratch, site, env),
      async push(site, sample, image) {
        await call([
          "copy",
          ...trustFlags(scratch, site, "dest-"),
          `oci:${sample.layout}:${sample.tag}`,
          `docker://${image}`,
        ]);
      },
      async pull(site, image, inspect) {
        const layout = join(scratch.directory("skopeo"), "layout");
        await call(["copy", ...trustFlags(scratch, site, "src-"), `docker://${image}`, `oci:${layout}:pulled`]);
        return inspect(await unpackLayout(layout, scratch.directory("tree")));
      },
      close: async () => {},
    };
  },
};

export async function skopeoLogin(scratch: Scratch, site: Site, env: Record<string, string>): Promise<void> {
  const flags = ["--username", user, "--password-stdin", ...trustFlags(scratch, site)];
  await run(["skopeo", "login", ...flags, site.host], { env: { ...scratch.env, ...env }, input: site.key });
}

/** Unpacks the image of a layout, after every blob of it was verified; images that delete files are beyond it. */
async function unpackLayout(layout: string, directory: string): Promise<string> {
  const { document } = readLayout(layout);
  for (const { digest } of document.layers ?? [])
    await unpack(join(layout, "blobs", digest.replace(":", "/")), directory);
  return directory;
}
