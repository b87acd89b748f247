import { expect, test } from "bun:test";
import fc from "fast-check";
import { parseContentRange, parseRange } from "./ranges.ts";

test.each([
  ["bytes=0-3", { first: 0, last: 3 }],
  ["bytes=2-", { first: 2, last: 9 }],
  ["bytes=-3", { first: 7, last: 9 }],
  ["bytes=-99", { first: 0, last: 9 }],
  ["bytes=5-99", { first: 5, last: 9 }],
  ["bytes=9-9", { first: 9, last: 9 }],
  ["bytes=10-", "unsatisfiable"],
  ["bytes=10-12", "unsatisfiable"],
  ["bytes=-0", "unsatisfiable"],
  ["bytes=5-3", "unsatisfiable"],
  ["bytes=0-1,3-4", undefined],
  ["bytes=a-b", undefined],
  ["bytes=-", undefined],
  ["items=0-1", undefined],
  ["bytes=0-9999999999999999", undefined],
  ["", undefined],
] as const)("Range %p of ten bytes", (header, expected) => {
  expect(parseRange(header, 10)).toEqual(expected as never);
});

test("nothing of an empty body can be asked for", () => {
  for (const header of ["bytes=0-", "bytes=0-0", "bytes=-1"]) expect(parseRange(header, 0)).toBe("unsatisfiable");
});

test("a range never leaves its body", () => {
  const bound = fc.nat({ max: 30 });
  fc.assert(
    fc.property(fc.option(bound), fc.option(bound), fc.nat({ max: 20 }), (from, to, size) => {
      const range = parseRange(`bytes=${from ?? ""}-${to ?? ""}`, size);
      if (range === undefined || range === "unsatisfiable") return;
      expect(range.first).toBeGreaterThanOrEqual(0);
      expect(range.first).toBeLessThanOrEqual(range.last);
      expect(range.last).toBeLessThan(size);
    }),
  );
});

test("never throws, whatever the header", () => {
  fc.assert(
    fc.property(fc.string(), (header) => {
      parseRange(header, 10);
      parseContentRange(header);
    }),
  );
});

test.each([
  ["0-9", { first: 0, last: 9 }],
  ["bytes 5-9/10", { first: 5, last: 9 }],
  ["bytes 5-9/*", { first: 5, last: 9 }],
  ["9-5", undefined],
  ["5-", undefined],
  ["-5", undefined],
  ["0-9999999999999999999", undefined],
] as const)("Content-Range %p", (header, expected) => {
  expect(parseContentRange(header)).toEqual(expected as never);
});
