import { expect, test } from "bun:test";
import fc from "fast-check";
import type { ProjectId } from "../names/reference.ts";
import { parseProjectFilter } from "./project-filter.ts";
import type { Project } from "./projects.ts";

const project = (id: string): Project => ({
  id: id as ProjectId,
  number: "123456789012",
  displayName: id,
  organization: "77",
  labels: {},
  createdAt: 0,
  credentialsSince: 0,
  updatedAt: 0,
  deleteRequestedAt: undefined,
});

test("a star stands for anything, as a regular expression would have it", () => {
  const letters = fc.string({ unit: fc.constantFrom(..."ab-"), maxLength: 8 });
  const pattern = fc.string({ unit: fc.constantFrom(..."ab-*"), minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(pattern, letters, (written, id) => {
      const expected = new RegExp(`^${written.replaceAll("*", ".*")}$`).test(id);
      expect([written, id, parseProjectFilter(`id:${written}`)(project(id))]).toEqual([written, id, expected]);
    }),
    { numRuns: 3000 },
  );
});

test("many stars take no longer than the text is long", () => {
  const filter = parseProjectFilter(`parent:${"*".repeat(900)}!`);
  const begun = performance.now();
  for (let i = 0; i < 100; i++) expect(filter(project("a".repeat(30)))).toBe(false);
  expect(performance.now() - begun).toBeLessThan(1000);
});
