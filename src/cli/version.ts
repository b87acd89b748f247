import manifest from "../../package.json" with { type: "json" };
import { type CliCommand, UsageError } from "./command.ts";

export const version: CliCommand = {
  name: "version",
  summary: "print the version",
  help: () => "berth version\n",
  run: (args) => {
    if (args.length > 0) throw new UsageError(`berth version takes no arguments, not ${args.join(" ")}`);
    console.log(`berth ${manifest.version} (Bun ${Bun.version})`);
    return Promise.resolve(0);
  },
};
