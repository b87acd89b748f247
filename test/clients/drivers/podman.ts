import { user } from "../../harness/site.ts";
import { run } from "../../harness/tools.ts";
import type { Client } from "./client.ts";
import { storageFlags, trustFlags } from "./container-tools.ts";

export const podman: Client = {
  name: "podman",
  programs: ["podman"],
  async open(scratch, { env = {} } = {}) {
    const storage = storageFlags(scratch, "podman");
    const call = (args: string[], input = ""): Promise<string> =>
      run(["podman", ...storage, ...args], { env: { ...scratch.env, ...env }, input });
    return {
      async login(site) {
        const flags = ["--username", user, "--password-stdin", ...trustFlags(scratch, site)];
        await call(["login", ...flags, site.host], site.key);
      },
      async push(site, sample, image) {
        const id = (await call(["pull", "--quiet", `oci:${sample.layout}:${sample.tag}`])).trim();
        await call(["push", ...trustFlags(scratch, site), id, image]);
        await call(["rmi", "--force", id]);
      },
      async pull(site, image, inspect) {
        await call(["pull", "--quiet", ...trustFlags(scratch, site), image]);
        const root = (await call(["image", "mount", image])).trim();
        const result = await inspect(root);
        await call(["image", "unmount", image]);
        await call(["rmi", "--force", image]);
        return result;
      },
      close: async () => {},
    };
  },
};
