import { join } from "node:path";
import { startDockerd } from "../../harness/dockerd.ts";
import { hashFile } from "../../harness/sample-image.ts";
import { user } from "../../harness/site.ts";
import { run } from "../../harness/tools.ts";
import type { Client } from "./client.ts";

export const docker: Client = {
  name: "docker",
  programs: ["docker", "dockerd"],
  async open(scratch, { env = {} } = {}) {
    const daemon = await startDockerd(scratch, env);
    const call = (args: string[], input = ""): Promise<string> => run(["docker", ...args], { env: { ...daemon.env, ...env }, input });
    return {
      async login({ host, key }) {
        await call(["login", "--username", user, "--password-stdin", host], key);
      },
      async push(_site, sample, image) {
        await call(["import", sample.tree, image]);
        await call(["push", image]);
        await call(["rmi", image]);
      },
      async pull(_site, image, path) {
        await call(["pull", image]);
        const container = (await call(["create", image, "/none"])).trim();
        const copy = join(scratch.directory("docker"), "file");
        await call(["cp", `${container}:/${path}`, copy]);
        await call(["rm", container]);
        await call(["rmi", image]);
        return hashFile(copy);
      },
      close: daemon.stop,
    };
  },
};
