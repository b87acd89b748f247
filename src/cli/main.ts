import { DataDirectoryError } from "../server/data-directory.ts";
import { SettingsError } from "../server/settings.ts";
import { type CliCommand, CommandFailure, UsageError } from "./command.ts";
import { gcloudEnv } from "./gcloud-env.ts";
import { gcloudProxy } from "./gcloud-proxy.ts";
import { nounCommand } from "./noun-command.ts";
import { nouns } from "./nouns.ts";
import { serve } from "./serve.ts";
import { version } from "./version.ts";

const commands: readonly CliCommand[] = [serve, ...nouns.map(nounCommand), gcloudEnv, gcloudProxy, version];

/** Runs a command line; answers the exit code: 0 done, 1 failed, 2 not understood. */
export async function runCli(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  // Who reads the output may have seen enough, as `head` does.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));
  try {
    if (name === undefined || name === "help" || name === "--help" || name === "-h") return help(rest[0], rest[1]);
    if (name === "--version") return await version.run([]);
    const command = find(name);
    if (rest.includes("--help") || rest.includes("-h")) return help(name, rest[0]);
    return await command.run(rest);
  } catch (error) {
    if (error instanceof UsageError && error.usage !== undefined) {
      process.stderr.write(`berth: ${error.message}\nusage: ${error.usage}\n`);
      return 2;
    }
    const isKnown = [UsageError, SettingsError, DataDirectoryError, CommandFailure].some(
      (kind) => error instanceof kind,
    );
    if (!isKnown) throw error;
    process.stderr.write(`berth: ${(error as Error).message}\n`);
    return error instanceof DataDirectoryError || error instanceof CommandFailure ? 1 : 2;
  }
}

function find(name: string): CliCommand {
  const command = commands.find((each) => each.name === name);
  if (command === undefined) throw new UsageError(`there is no command ${name}; \`berth help\` lists them`);
  return command;
}

function help(name: string | undefined, verb: string | undefined): number {
  if (name !== undefined) {
    console.log(
      find(name)
        .help(verb?.startsWith("-") === true ? undefined : verb)
        .trimEnd(),
    );
    return 0;
  }
  const width = Math.max(...commands.map((command) => command.name.length));
  const list = commands.map((command) => `  ${command.name.padEnd(width)}  ${command.summary}`);
  console.log(["berth COMMAND [OPTION…]", "", ...list, "", "berth help COMMAND tells more."].join("\n"));
  return 0;
}
