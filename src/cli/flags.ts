import { UsageError } from "./command.ts";

/** `--flag value` pairs and nothing else. @throws UsageError */
export function readFlags(command: string, known: readonly string[], args: readonly string[]): Map<string, string> {
  const flags = new Map<string, string>();
  for (let i = 0; i < args.length; i += 2) {
    const [flag, value] = [args[i] as string, args[i + 1]];
    if (!known.includes(flag)) throw new UsageError(`berth ${command} has no option ${flag}`);
    if (value === undefined) throw new UsageError(`${flag} needs a value`);
    flags.set(flag, value);
  }
  return flags;
}
