import type { ServerClient } from "./server-client.ts";

/** What the command line manages, with what can be done to it: parsing, help and docs/cli.md come from these. */
export interface Noun {
  name: string;
  /** One line for `berth help`. */
  summary: string;
  verbs: readonly Verb[];
}

/** What is done to a noun. */
export type Verb = ServerVerb | LocalVerb;

interface VerbEntry {
  /** Empty where the noun alone is the command. */
  name: string;
  summary: string;
  /** In the order of the command line; one that ends in `…` stands for one or more, and is the last. */
  operands?: readonly string[];
  flags?: readonly Flag[];
  /** `lines`: prints JSON lines, and has no `--format`. */
  output?: "either" | "lines";
}

interface ServerVerb extends VerbEntry {
  place?: "server";
  run(input: Input, server: ServerClient): Promise<Result>;
}

/** Works on this machine's files: it has no flags for reaching a server. */
interface LocalVerb extends VerbEntry {
  place: "local";
  run(input: Input): Promise<Result>;
}

export interface Flag {
  /** Without dashes. */
  name: string;
  /** What stands for the value in help; absent for a switch. */
  placeholder?: string;
  doc: string;
  isRequired?: boolean;
  /** Of a verb's flags with this mark one has to be given, or at the most one may be. */
  alternative?: "required" | "optional";
  /** May be given more than once. */
  isMultiple?: boolean;
  /** `--flag ""` means something. */
  mayBeEmpty?: boolean;
  /** The value may be left out; what follows belongs to the flag only if it looks like this. */
  optionalValue?: RegExp;
}

/** The variables of a process. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** A command line that was understood. */
export interface Input {
  /** Those that the verb names are all there. */
  operands: readonly string[];
  /** A flag's value; `undefined` where it was not given. */
  text: (flag: string) => string | undefined;
  texts: (flag: string) => readonly string[];
  has: (flag: string) => boolean;
}

/** Cells are text without the ends of lines. */
export interface Table {
  /** Absent for the facts of one thing, a line each. */
  head?: readonly string[];
  rows: readonly (readonly string[])[];
}

/** What a verb has to say, for people and for programs; `undefined` where it has written all of it already. */
export type Result = { json: unknown; table: Table } | { json: unknown; text: string } | undefined;
