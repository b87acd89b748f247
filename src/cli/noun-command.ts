import { type CliCommand, UsageError } from "./command.ts";
import type { Input, Noun, Verb } from "./noun.ts";
import { parseVerb } from "./parse-verb.ts";
import { printResult, standardPaper } from "./print-result.ts";
import { openServer } from "./server-client.ts";
import { helpOfNoun, helpOfVerb, usageOf } from "./usage.ts";

/** A noun of the table as a word of the command line. */
export function nounCommand(noun: Noun): CliCommand {
  return {
    name: noun.name,
    summary: noun.summary,
    help: (verb) => (verb === undefined ? helpOfNoun(noun) : helpOfVerb(noun, findVerb(noun, verb))),
    async run(args) {
      const isAlone = noun.verbs[0]?.name === "";
      const verb = findVerb(noun, isAlone ? "" : args[0]);
      await runVerb(verb, parseVerb(noun, verb, isAlone ? args : args.slice(1)), usageOf(noun, verb));
      return 0;
    },
  };
}

function findVerb(noun: Noun, name: string | undefined): Verb {
  const verb = noun.verbs.find((each) => each.name === name);
  if (verb !== undefined) return verb;
  const names = noun.verbs.map((each) => each.name).join("|");
  throw new UsageError(
    name === undefined ? "the verb is missing" : `berth ${noun.name} has no ${name}`,
    `berth ${noun.name} ${names}; \`berth help ${noun.name}\` tells more`,
  );
}

async function runVerb(verb: Verb, input: Input, usage: string): Promise<void> {
  try {
    const format = input.text("format") ?? "table";
    if (format !== "table" && format !== "json") throw new UsageError(`--format: ${format} is neither table nor json`);
    const result =
      verb.place === "local" ? await verb.run(input) : await verb.run(input, openServer(input, process.env));
    if (result === undefined) return;
    await printResult(result, format, standardPaper(process.env));
    const isEmpty = format === "table" && "table" in result && result.table.rows.length === 0;
    if (isEmpty) process.stderr.write("berth: there are none\n");
  } catch (error) {
    if (error instanceof UsageError && error.usage === undefined) throw new UsageError(error.message, usage);
    throw error;
  }
}
