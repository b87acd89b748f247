import manifest from "../../package.json" with { type: "json" };
import type { CliCommand } from "./command.ts";

export const version: CliCommand = {
  name: "version",
  summary: "print the version",
  help: () => "berth version\n",
  run: () => {
    console.log(`berth ${manifest.version} (Bun ${Bun.version})`);
    return Promise.resolve(0);
  },
};
