import { describe } from "bun:test";
import { describeWith, everythingRequired } from "./require.ts";
import { findProgram } from "./tools.ts";

/** `describeWith` for programs that may be among the installed tools. */
export function describeInstalled(programs: readonly string[], name: string, body: () => void): void {
  describeWith(
    programs.filter((program) => findProgram(program) === null),
    name,
    body,
  );
}

/** The same for clients that mount file systems: skipped by name where the tests do not run as root. */
export function describeAsRoot(programs: readonly string[], name: string, body: () => void): void {
  if (process.getuid?.() === 0 || everythingRequired) describeInstalled(programs, name, body);
  else describe.skip(`${name} (needs root)`, body);
}
