import { DataDirectoryError } from "../server/data-directory.ts";
import { flagOf, variableOf } from "../server/option.ts";
import { optionList } from "../server/options.ts";
import { loadSettings, SettingsError } from "../server/settings.ts";
import { supervise } from "../server/supervisor.ts";
import { type CliCommand, UsageError } from "./command.ts";

export const serve: CliCommand = {
  name: "serve",
  summary: "run the registry",
  help() {
    const lines = optionList.map(([, option]) => {
      const shown = option.default === undefined ? "" : ` (default: ${format(option.default)})`;
      return `  ${`${flagOf(option)} ${option.placeholder}`.trimEnd()}\n      ${option.doc}${shown}\n      ${variableOf(option)}, ${option.key}`;
    });
    const head = "berth serve [OPTION…]\n\nEach option is a flag, a variable or a key in berth.yaml, in this order.\n";
    const config = "  --config FILE\n      berth.yaml, read strictly\n      BERTH_CONFIG";
    return `${head}\n${[config, ...lines].join("\n")}\n`;
  },
  async run(args) {
    // All that is made below holds secrets, or what is secret to others.
    process.umask(0o077);
    try {
      return await supervise(loadSettings(parseFlags(args), process.env), (text) => console.log(text));
    } catch (error) {
      if (error instanceof UsageError || error instanceof SettingsError || error instanceof DataDirectoryError)
        throw error;
      // The port, the certificate, the schema: the operator's to mend, so no stack.
      throw new DataDirectoryError((error as Error).message, { cause: error });
    }
  },
};

function format(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** `--flag value`, `--flag=value`, and for true or false `--flag` alone. @throws UsageError */
export function parseFlags(args: readonly string[]): Map<string, string> {
  const switches = new Set(
    optionList.filter(([, option]) => option.placeholder === "").map(([, option]) => flagOf(option)),
  );
  const known = new Set(["--config", ...optionList.map(([, option]) => flagOf(option))]);
  const flags = new Map<string, string>();
  for (let i = 0; i < args.length; i++) {
    const [flag, inline] = split(args[i] as string);
    if (!known.has(flag)) throw new UsageError(`berth serve has no option ${flag}; \`berth help serve\` lists them`);
    if (flags.has(flag)) throw new UsageError(`${flag} is given twice`);
    if (inline !== undefined) flags.set(flag, inline);
    else if (switches.has(flag)) flags.set(flag, "true");
    else {
      const value = args[++i];
      if (value === undefined) throw new UsageError(`${flag} needs a value`);
      flags.set(flag, value);
    }
  }
  return flags;
}

function split(argument: string): [string, string | undefined] {
  const equals = argument.indexOf("=");
  return equals < 0 ? [argument, undefined] : [argument.slice(0, equals), argument.slice(equals + 1)];
}
