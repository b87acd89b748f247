import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DirectorySyncs } from "./directory-syncs.ts";

test("those who ask during a sync share the next one, never the running one", async () => {
  const directory = mkdtempSync(join(tmpdir(), "berth-syncs-"));
  try {
    const syncs = new DirectorySyncs();
    const first = syncs.sync(directory);
    const [second, third] = [syncs.sync(directory), syncs.sync(directory)];
    expect(second).not.toBe(first);
    expect(third).toBe(second);
    await first;
    // The next one has begun: what comes now is not in it.
    const fourth = syncs.sync(directory);
    expect(fourth).not.toBe(second);
    await Promise.all([second, fourth]);
    const last = syncs.sync(directory);
    expect(last).not.toBe(fourth);
    await last;
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("one that fails fails who asked for it, and not the next", async () => {
  const syncs = new DirectorySyncs();
  const outcomes = await Promise.allSettled([syncs.sync("/nowhere/at/all"), syncs.sync("/nowhere/at/all")]);
  expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  await syncs.sync(tmpdir());
});
