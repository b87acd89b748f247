import { expect, test } from "bun:test";
import { maxParts, partSize } from "./object-store.ts";

test("the parts of an object hold 512 GiB, each at least what S3 asks for and at most 64 MiB", () => {
  let sum = 0;
  for (let index = 0; index < maxParts; index++) {
    expect(partSize(index)).toBeGreaterThanOrEqual(5 * 2 ** 20);
    expect(partSize(index)).toBeLessThanOrEqual(64 * 2 ** 20);
    sum += partSize(index);
  }
  expect(sum).toBeGreaterThanOrEqual(512 * 2 ** 30);
});
