/** One word of the command line. */
export interface CliCommand {
  name: string;
  /** One line for `berth help`. */
  summary: string;
  /** The whole text of `berth help NAME`. */
  help(): string;
  /** Runs with the arguments after the name; resolves with the exit code. */
  run(args: readonly string[]): Promise<number>;
}

/** The command line cannot be understood; the message says why and what to write. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
