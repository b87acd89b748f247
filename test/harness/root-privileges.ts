import { describe } from "bun:test";
import { describeWith, everythingRequired } from "./require.ts";

/** `describeWith` for clients that mount file systems: skipped by name where the tests do not run as root. */
export function describeAsRoot(programs: readonly string[], name: string, body: () => void): void {
  if (process.getuid?.() === 0 || everythingRequired) describeWith(programs, name, body);
  else describe.skip(`${name} (needs root)`, body);
}
