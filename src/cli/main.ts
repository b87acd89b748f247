import { DataDirectoryError } from "../server/data-directory.ts";
import { SettingsError } from "../server/settings.ts";
import { type CliCommand, UsageError } from "./command.ts";
import { gcloudEnv } from "./gcloud-env.ts";
import { serve } from "./serve.ts";
import { version } from "./version.ts";

const commands: readonly CliCommand[] = [serve, gcloudEnv, version];

/** Runs a command line; answers the exit code: 0 done, 1 failed, 2 not understood. */
export async function runCli(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  try {
    if (name === undefined || name === "help" || name === "--help" || name === "-h") return help(rest[0]);
    if (name === "--version") return await version.run([]);
    const command = find(name);
    if (rest.includes("--help") || rest.includes("-h")) return help(name);
    return await command.run(rest);
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof SettingsError || error instanceof DataDirectoryError))
      throw error;
    console.error(`berth: ${error.message}`);
    return error instanceof DataDirectoryError ? 1 : 2;
  }
}

function find(name: string): CliCommand {
  const command = commands.find((each) => each.name === name);
  if (command === undefined) throw new UsageError(`there is no command ${name}; \`berth help\` lists them`);
  return command;
}

function help(name: string | undefined): number {
  if (name !== undefined) {
    console.log(find(name).help().trimEnd());
    return 0;
  }
  const width = Math.max(...commands.map((command) => command.name.length));
  const list = commands.map((command) => `  ${command.name.padEnd(width)}  ${command.summary}`);
  console.log(["berth COMMAND [OPTION…]", "", ...list, "", "berth help COMMAND tells more."].join("\n"));
  return 0;
}
