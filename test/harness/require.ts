import { describe, test } from "bun:test";

/** True where a missing client is a failure: in CI, which installs them all. */
export const everythingRequired = process.env.BERTH_TEST_REQUIRE === "all";

/**
 * A suite that needs programs from the machine. Where one is missing the suite is skipped by name,
 * or, with BERTH_TEST_REQUIRE=all, fails and names it.
 */
export function describeWith(programs: readonly string[], name: string, body: () => void): void {
  const missing = programs.filter((program) => Bun.which(program) === null);
  if (missing.length === 0) {
    describe(name, body);
  } else if (everythingRequired) {
    describe(name, () => {
      test("needs programs that are missing", () => {
        throw new Error(`missing on this machine: ${missing.join(", ")}`);
      });
    });
  } else {
    describe.skip(`${name} (missing: ${missing.join(", ")})`, body);
  }
}
