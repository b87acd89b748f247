import { join } from "node:path";
import { readLayout } from "../../harness/image-layout.ts";
import { hashFile } from "../../harness/sample-image.ts";
import type { Scratch } from "../../harness/scratch.ts";
import { type Site, user } from "../../harness/site.ts";
import { attempt, run } from "../../harness/tools.ts";
import type { Client } from "./client.ts";
import { trustFlags } from "./container-tools.ts";

export const skopeo: Client = {
  name: "skopeo",
  programs: ["skopeo"],
  async open(scratch, { env = {} } = {}) {
    const call = (args: string[], input = ""): Promise<string> =>
      run(["skopeo", ...args], { env: { ...scratch.env, ...env }, input });
    return {
      login: (site) => skopeoLogin(scratch, site, env),
      async push(site, sample, image) {
        await call(["copy", ...trustFlags(scratch, site, "dest-"), `oci:${sample.layout}:${sample.tag}`, `docker://${image}`]);
      },
      async pull(site, image, path) {
        const layout = join(scratch.directory("skopeo"), "layout");
        await call(["copy", ...trustFlags(scratch, site, "src-"), `docker://${image}`, `oci:${layout}:pulled`]);
        return hashInLayout(layout, path);
      },
      close: async () => {},
    };
  },
};

export async function skopeoLogin(scratch: Scratch, site: Site, env: Record<string, string>): Promise<void> {
  const flags = ["--username", user, "--password-stdin", ...trustFlags(scratch, site)];
  await run(["skopeo", "login", ...flags, site.host], { env: { ...scratch.env, ...env }, input: site.key });
}

/** SHA-256 of a file in the layers of a layout's image, after every blob of the image was verified. */
async function hashInLayout(layout: string, path: string): Promise<string> {
  const { document } = readLayout(layout);
  for (const { digest } of (document.layers ?? []).toReversed()) {
    const layer = join(layout, "blobs", digest.replace(":", "/"));
    const { code } = await attempt(["tar", "-C", layout, "-xf", layer, path]);
    if (code === 0) return hashFile(layout, path);
  }
  throw new Error(`${path} is in no layer of ${layout}`);
}
