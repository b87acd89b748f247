import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { startContainerd } from "../../harness/containerd.ts";
import type { Scratch } from "../../harness/scratch.ts";
import { type Site, user } from "../../harness/site.ts";
import type { Client } from "./client.ts";

export const containerd: Client = {
  name: "containerd",
  programs: ["containerd", "ctr"],
  async open(scratch, { env = {} } = {}) {
    const daemon = await startContainerd(scratch);
    const call = (args: string[]): Promise<string> => daemon.run(["images", ...args], env);
    const registryFlags = async (site: Site): Promise<string[]> => {
      const hosts = await writeHosts(scratch, site);
      return ["--hosts-dir", hosts, "--user", `${user}:${site.key}`];
    };
    return {
      // ctr keeps no credentials: each command brings them.
      login: async () => {},
      async push(site, sample, image) {
        await call(["import", "--base-name", "sample.test/image", sample.archive]);
        await call(["tag", `sample.test/image:${sample.tag}`, image]);
        await call(["push", ...(await registryFlags(site)), image]);
        await call(["rm", "--sync", `sample.test/image:${sample.tag}`, image]);
      },
      async pull(site, image, inspect) {
        await call(["pull", ...(await registryFlags(site)), image]);
        const root = scratch.directory("mount");
        await call(["mount", image, root]);
        const result = await inspect(root);
        await call(["unmount", "--rm", root]);
        await call(["rm", "--sync", image]);
        return result;
      },
      close: daemon.stop,
    };
  },
};

/** Writes the `hosts.toml` by which containerd finds a site. Answers the directory for `--hosts-dir`. */
export async function writeHosts(scratch: Scratch, { host, ca }: Site): Promise<string> {
  const directory = join(scratch.path, "hosts");
  mkdirSync(join(directory, host), { recursive: true });
  const server = `${ca === undefined ? "http" : "https"}://${host}`;
  const lines = [`server = "${server}"`, `[host."${server}"]`, 'capabilities = ["pull", "resolve", "push"]'];
  if (ca !== undefined) lines.push(`ca = "${ca}"`);
  await Bun.write(join(directory, host, "hosts.toml"), `${lines.join("\n")}\n`);
  return directory;
}
