import { parseArgs } from "node:util";
import { UsageError } from "./command.ts";
import type { Flag, Input, Noun, Verb } from "./noun.ts";
import { flagsOf, usageOf } from "./usage.ts";

/** @throws UsageError with the verb's usage */
export function parseVerb(noun: Noun, verb: Verb, args: readonly string[]): Input {
  const usage = usageOf(noun, verb);
  const flags = flagsOf(verb);
  const { values, positionals } = parse(flags, args, usage);
  for (const flag of flags) check(flag, values.get(flag.name) ?? [], usage);
  checkAlternatives(
    flags.filter(({ alternative }) => alternative !== undefined),
    values,
    usage,
  );
  return {
    operands: checkOperands(verb.operands ?? [], positionals, usage),
    text: (name) => values.get(name)?.[0],
    texts: (name) => values.get(name) ?? [],
    has: (name) => values.has(name),
  };
}

function parse(flags: readonly Flag[], args: readonly string[], usage: string) {
  const options = Object.fromEntries(
    flags.map(({ name, placeholder }) => [
      name,
      { type: placeholder === undefined ? "boolean" : "string", multiple: true } as const,
    ]),
  );
  try {
    const { tokens, positionals } = parseArgs({
      args: completed(flags, args),
      options,
      allowPositionals: true,
      tokens: true,
    });
    const values = new Map<string, string[]>();
    for (const token of tokens) {
      if (token.kind !== "option") continue;
      values.set(token.name, [...(values.get(token.name) ?? []), token.value ?? ""]);
    }
    return { values, positionals };
  } catch (error) {
    throw new UsageError(reasonOf(error as Error & { code?: string }), usage);
  }
}

/** `--flag` whose value was left out is written `--flag=`. */
function completed(flags: readonly Flag[], args: readonly string[]): string[] {
  const end = args.indexOf("--");
  return args.map((arg, i) => {
    if (end >= 0 && i > end) return arg;
    const pattern = flags.find(({ name, optionalValue }) => optionalValue && arg === `--${name}`)?.optionalValue;
    return pattern === undefined || pattern.test(args[i + 1] ?? "") ? arg : `${arg}=`;
  });
}

function reasonOf({ code, message }: Error & { code?: string }): string {
  const option = /'(-[^' ]*)/.exec(message)?.[1] ?? "";
  if (code === "ERR_PARSE_ARGS_UNKNOWN_OPTION") return `there is no option ${option}`;
  if (code !== "ERR_PARSE_ARGS_INVALID_OPTION_VALUE") return message;
  if (message.includes("does not take")) return `${option} takes no value`;
  return message.includes("ambiguous")
    ? `${option} needs a value; one that begins with a dash is written ${option}=VALUE`
    : `${option} needs a value`;
}

function check(flag: Flag, given: readonly string[], usage: string): void {
  const { name, isRequired, isMultiple, mayBeEmpty, optionalValue, placeholder } = flag;
  if (isRequired && given.length === 0) throw new UsageError(`--${name} is missing`, usage);
  if (!isMultiple && given.length > 1) throw new UsageError(`--${name} is given twice`, usage);
  // What a shell makes of a variable that is not set.
  const isEmpty = placeholder !== undefined && given.includes("");
  if (isEmpty && mayBeEmpty !== true && optionalValue === undefined) throw new UsageError(`--${name} is empty`, usage);
}

function checkAlternatives(flags: readonly Flag[], values: ReadonlyMap<string, unknown>, usage: string): void {
  const given = flags.filter(({ name }) => values.has(name));
  const isWrong = given.length > 1 || (given.length === 0 && flags[0]?.alternative === "required");
  if (isWrong) throw new UsageError(`give one of ${flags.map(({ name }) => `--${name}`).join(", ")}`, usage);
}

function checkOperands(names: readonly string[], given: readonly string[], usage: string): readonly string[] {
  const missing = names[given.length];
  if (missing !== undefined) throw new UsageError(`${missing.replace("…", "")} is missing`, usage);
  if (given.length > names.length && names.at(-1)?.endsWith("…") !== true) {
    throw new UsageError(`${given[names.length]} is one argument too many`, usage);
  }
  const empty = given.indexOf("");
  if (empty >= 0)
    throw new UsageError(`${(names[empty] ?? (names.at(-1) as string)).replace("…", "")} is empty`, usage);
  return given;
}
