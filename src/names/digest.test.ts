import { expect, test } from "bun:test";
import fc from "fast-check";
import { Digester, digestOf, parseDigest } from "./digest.ts";

const hex = (length: number): fc.Arbitrary<string> =>
  fc.string({ unit: fc.constantFrom(..."0123456789abcdef"), minLength: length, maxLength: length });

test("accepts what the two algorithms produce", () => {
  fc.assert(fc.property(hex(64), (text) => parseDigest(`sha256:${text}`) !== undefined));
  fc.assert(fc.property(hex(128), (text) => parseDigest(`sha512:${text}`) !== undefined));
});

test("accepts nothing but the exact grammar", () => {
  const exact = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;
  const near = fc.tuple(
    fc.constantFrom("sha256", "sha512", "md5", "SHA256", ""),
    fc.constantFrom(":", "-", ""),
    hex(64),
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        near.map((parts) => parts.join("")),
      ),
      (text) => {
        expect(parseDigest(text) !== undefined).toBe(exact.test(text));
      },
    ),
  );
  for (const bad of [
    `sha256:${"A".repeat(64)}`,
    `sha256:${"a".repeat(63)}`,
    `sha512:${"a".repeat(64)}`,
    "sha256:",
    ":",
  ])
    expect(parseDigest(bad)).toBeUndefined();
});

test("is the same whether bytes come at once or in pieces", () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 50 })),
      fc.constantFrom("sha256", "sha512"),
      (pieces, algorithm) => {
        const digester = new Digester(algorithm);
        for (const piece of pieces) digester.update(piece);
        expect(digester.finish()).toBe(digestOf(Buffer.concat(pieces), algorithm));
      },
    ),
  );
});
