import { cpSync } from "node:fs";
import { join } from "node:path";
import { run } from "../../harness/tools.ts";
import type { Client } from "./client.ts";
import { trustFlags } from "./container-tools.ts";
import { skopeoLogin } from "./skopeo.ts";

/** umoci works on OCI layouts, which skopeo carries to and from the registry. */
export const umoci: Client = {
  name: "umoci",
  programs: ["umoci", "skopeo"],
  async open(scratch, { env = {} } = {}) {
    const call = (args: string[]): Promise<string> => run(args, { env: { ...scratch.env, ...env } });
    return {
      login: (site) => skopeoLogin(scratch, site, env),
      async push(site, sample, image) {
        const directory = scratch.directory("umoci");
        const layout = join(directory, "layout");
        const source = `${layout}:${sample.tag}`;
        cpSync(sample.layout, layout, { recursive: true });
        // A layer of umoci's own making on top. (`umoci insert` now and then leaves the end of its tar file out.)
        await call(["umoci", "unpack", "--image", source, join(directory, "bundle")]);
        await Bun.write(join(directory, "bundle/rootfs/added"), "added\n");
        await call(["umoci", "repack", "--image", source, join(directory, "bundle")]);
        await call(["skopeo", "copy", ...trustFlags(scratch, site, "dest-"), `oci:${source}`, `docker://${image}`]);
      },
      async pull(site, image, inspect) {
        const directory = scratch.directory("umoci");
        const layout = join(directory, "layout");
        await call([
          "skopeo",
          "copy",
          ...trustFlags(scratch, site, "src-"),
          `docker://${image}`,
          `oci:${layout}:pulled`,
        ]);
        await call(["umoci", "unpack", "--image", `${layout}:pulled`, join(directory, "bundle")]);
        return inspect(join(directory, "bundle/rootfs"));
      },
      close: async () => {},
    };
  },
};
