import { startDockerd } from "../../harness/dockerd.ts";
import { user } from "../../harness/site.ts";
import { run } from "../../harness/tools.ts";
import type { Client } from "./client.ts";
import { unpack } from "./container-tools.ts";

export const docker: Client = {
  name: "docker",
  programs: ["docker", "dockerd"],
  async open(scratch, { env = {} } = {}) {
    const daemon = await startDockerd(scratch, env);
    const call = (args: string[], input = ""): Promise<string> =>
      run(["docker", ...args], { env: { ...daemon.env, ...env }, input });
    return {
      async login({ host, key }) {
        await call(["login", "--username", user, "--password-stdin", host], key);
      },
      async push(_site, sample, image) {
        await call(["import", sample.tree, image]);
        await call(["push", image]);
        await call(["rmi", image]);
      },
      async pull(_site, image, inspect) {
        await call(["pull", image]);
        const container = (await call(["create", image, "/none"])).trim();
        const tree = `${scratch.path}/exported.tar`;
        await call(["export", "--output", tree, container]);
        await call(["rm", container]);
        await call(["rmi", image]);
        return inspect(await unpack(tree, scratch.directory("docker")));
      },
      close: daemon.stop,
    };
  },
};
