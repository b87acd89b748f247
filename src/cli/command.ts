/** One word of the command line. */
export interface CliCommand {
  name: string;
  /** One line for `berth help`. */
  summary: string;
  /** The whole text of `berth help NAME`; of one of its verbs, where it has some. @throws UsageError for no verb of it */
  help(verb?: string): string;
  /** Runs with the arguments after the name; resolves with the exit code. */
  run(args: readonly string[]): Promise<number>;
}

/** The command line cannot be understood; the message says why and what to write. */
export class UsageError extends Error {
  override readonly name = "UsageError";
  /** How the command is written, where it is known which was meant. */
  readonly usage: string | undefined;

  constructor(message: string, usage?: string) {
    super(message);
    this.usage = usage;
  }
}

/** What was asked for could not be done; the message is all that the user has to know. */
export class CommandFailure extends Error {
  override readonly name = "CommandFailure";
}
