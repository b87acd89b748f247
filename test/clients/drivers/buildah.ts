import { user } from "../../harness/site.ts";
import { run } from "../../harness/tools.ts";
import type { Client } from "./client.ts";
import { storageFlags, trustFlags } from "./container-tools.ts";

export const buildah: Client = {
  name: "buildah",
  programs: ["buildah"],
  async open(scratch, { env = {} } = {}) {
    const storage = storageFlags(scratch, "buildah");
    const call = (args: string[], input = ""): Promise<string> =>
      run(["buildah", ...storage, ...args], { env: { ...scratch.env, ...env }, input });
    return {
      async login(site) {
        const flags = ["--username", user, "--password-stdin", ...trustFlags(scratch, site)];
        await call(["login", ...flags, site.host], site.key);
      },
      async push(site, sample, image) {
        const id = (await call(["pull", "--quiet", `oci:${sample.layout}:${sample.tag}`])).trim();
        await call(["push", ...trustFlags(scratch, site), id, `docker://${image}`]);
        await call(["rmi", "--force", id]);
      },
      async pull(site, image, inspect) {
        const container = (
          await call(["from", "--pull-always", "--quiet", ...trustFlags(scratch, site), image])
        ).trim();
        const root = (await call(["mount", container])).trim();
        const result = await inspect(root);
        await call(["rm", container]);
        await call(["rmi", "--force", image]);
        return result;
      },
      close: async () => {},
    };
  },
};
