import { join } from "node:path";
import { hashFile } from "../../harness/sample-image.ts";
import { type Site, user } from "../../harness/site.ts";
import { run } from "../../harness/tools.ts";
import type { Client } from "./client.ts";

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
        async pull(site, image, path) {
          const directory = scratch.directory(program);
          await call(site, ["export", image, join(directory, "tree.tar")]);
          await run(["tar", "-C", directory, "-xf", join(directory, "tree.tar"), path]);
          return hashFile(directory, path);
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
