import { RE2JS } from "@bufbuild/re2";
import { expect, test } from "bun:test";
import fc from "fast-check";
import { startEvaluation } from "./evaluation.ts";
import { ExpressionError } from "./expression-error.ts";
import { maxPatternLength, maxPatternProgram } from "./limits.ts";
import { Pattern } from "./patterns.ts";

const matches = (source: string, text: string): boolean => {
  startEvaluation(new Map());
  return new Pattern(source).test(text);
};

test("matches what RE2 does", () => {
  const table: [string, string, boolean][] = [
    ["b", "abc", true],
    ["^b", "abc", false],
    ["^abc$", "abc", true],
    ["^projects/[a-z-]+/registries/[^/]+$", "projects/p-q/registries/us.gcr.io", true],
    ["^projects/[a-z-]+/registries/[^/]+$", "projects/p-q/registries/us.gcr.io/images", false],
    ["", "", true],
    ["^$", "", true],
    ["a{2,3}$", "baaa", true],
    [String.raw`\bred\b`, "a red-brick", true],
    [String.raw`\bred\b`, "a hundred", false],
    [String.raw`\Bred`, "a hundred", true],
    ["(?i)RED", "a hundred", true],
    ["^a.c$", "a\nc", false],
    ["(?s)^a.c$", "a\nc", true],
    ["(?m)^b$", "a\nb\nc", true],
    ["^.$", "\u{1f600}", true],
    [String.raw`^\pL+$`, "straße", true],
    ["a|^b", "cb", false],
  ];
  for (const [source, text, expected] of table) {
    expect([source, text, matches(source, text)]).toEqual([source, text, expected]);
  }
});

test("agrees with the library's own matcher", () => {
  const atom = fc.constantFrom(
    "a",
    "b",
    ".",
    "[ab]",
    "[^a]",
    "\\b",
    "\\B",
    "^",
    "$",
    "\\w",
    "é",
    "\\pL",
    "(?i:A)",
    "\\n",
  );
  const { pattern } = fc.letrec<{ pattern: string }>((tie) => ({
    pattern: fc.oneof(
      { maxDepth: 4 },
      atom,
      fc.tuple(tie("pattern"), tie("pattern")).map((parts) => parts.join("")),
      fc.tuple(tie("pattern"), tie("pattern")).map((parts) => `(${parts.join("|")})`),
      fc
        .tuple(tie("pattern"), fc.constantFrom("*", "+", "?", "{2}", "{1,3}", "*?"))
        .map(([of, times]) => `(?:${of})${times}`),
    ),
  }));
  const text = fc.string({ unit: fc.constantFrom("a", "b", "A", "é", " ", "\n", "\u{1f600}"), maxLength: 12 });
  fc.assert(
    fc.property(pattern, text, (source, input) => {
      fc.pre(source.length <= maxPatternLength && !/\(\?i.*é/.test(source) && !/é.*\(\?i/.test(source));
      expect(matches(source, input)).toBe(RE2JS.compile(source).test(input));
    }),
    { numRuns: 2000 },
  );
});

test("refuses what is no regular expression, or a costly one", () => {
  const wide = "\u0100-\u{1e900}".repeat(40);
  for (const source of ["(", "a{2000}", "(?<=a)b", String.raw`(a)\1`, `(?i)[${wide}]`, String.raw`(?mi:\x{100})`]) {
    expect(() => new Pattern(source)).toThrow(ExpressionError);
  }
  expect(() => new Pattern("a".repeat(maxPatternLength))).not.toThrow();
  expect(() => new Pattern("a".repeat(maxPatternLength + 1))).toThrow(ExpressionError);
  // An instruction for each repetition, and one each for the end and for failing.
  expect(() => new Pattern(`a{${maxPatternProgram - 2}}`)).not.toThrow();
  expect(() => new Pattern(`a{${maxPatternProgram - 1}}`)).toThrow(ExpressionError);
});

test("stops a match that takes too long", () => {
  expect(() => matches("(?:a?){90}b$", "a".repeat(16_384))).toThrow("too much work");
});
