import { type Site, user } from "../../harness/site.ts";
import { run } from "../../harness/tools.ts";
import type { Client } from "./client.ts";
import { unpack } from "./container-tools.ts";

/** crane, and gcrane, which has its commands too. */
function craneLike(program: "crane" | "gcrane"): Client {
  return {
    name: program,
    programs: [program],
    async open(scratch, { env = {} } = {}) {
      const call = (site: Site, args: string[], input = ""): Promise<string> =>
        run([program, ...args], { env: { ...scratch.env, ...craneTrust(site), ...env }, input });
      return {
        async login(site) {
          await call(site, ["auth", "login", site.host, "--username", user, "--password-stdin"], site.key);
        },
        async push(site, sample, image) {
          await call(site, ["push", sample.layout, image]);
        },
        async pull(site, image, inspect) {
          const tree = `${scratch.path}/exported.tar`;
          await call(site, ["export", image, tree]);
          return inspect(await unpack(tree, scratch.directory(program)));
        },
        close: async () => {},
      };
    },
  };
}

/** Programs written in Go take their authorities from a variable. */
export function craneTrust(site: Site): Record<string, string> {
  return site.ca === undefined ? {} : { SSL_CERT_FILE: site.ca };
}

export const crane = craneLike("crane");
export const gcrane = craneLike("gcrane");
