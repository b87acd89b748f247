import { expect, test } from "bun:test";
import fc from "fast-check";
import { JsonError, parseStrictJson } from "./strict-json.ts";

const parse = (text: string, depth = 64): unknown => parseStrictJson(Buffer.from(text), depth);

test("reads whatever JSON.stringify writes", () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 5 }), (value) => {
      const text = JSON.stringify(value);
      expect(parse(text)).toEqual(JSON.parse(text));
    }),
  );
});

test("refuses a key that stands twice, also when it is spelled differently", () => {
  for (const text of ['{"a":1,"a":2}', '{"a":1,"\\u0061":2}', '[{"x":{"b":1 , "b" :1}}]', '{"a":{},"b":[],"a":3}']) {
    expect(() => parse(text)).toThrow(JsonError);
  }
  expect(parse('{"a":{"a":1},"b":["a","a"],"c":"a\\"b"}')).toEqual({ a: { a: 1 }, b: ["a", "a"], c: 'a"b' });
});

test("finds any duplicate put into any object", () => {
  const keys = fc.uniqueArray(fc.string(), { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(keys, fc.nat(), (names, pick) => {
      const twice = [...names, names[pick % names.length] as string];
      const write = (list: string[]): string => `{${list.map((name) => `${JSON.stringify(name)}: [1]`).join(" ,\n")}}`;
      expect(() => parse(write(names))).not.toThrow();
      expect(() => parse(write(twice))).toThrow(JsonError);
    }),
  );
});

test("depth is counted at its edge", () => {
  const nested = (depth: number): string => "[".repeat(depth) + "]".repeat(depth);
  expect(() => parse(nested(64))).not.toThrow();
  expect(() => parse(nested(65))).toThrow(JsonError);
  expect(() => parse('{"a":'.repeat(64) + "1" + "}".repeat(64))).not.toThrow();
  expect(() => parse('{"a":'.repeat(65) + "1" + "}".repeat(65))).toThrow(JsonError);
});

test("refuses what is not JSON or not UTF-8", () => {
  for (const text of ["", "{", "nul", "{'a':1}", "[1,]", "\ufeff{}"]) expect(() => parse(text)).toThrow(JsonError);
  expect(() => parseStrictJson(Uint8Array.from([0x22, 0xff, 0x22]), 64)).toThrow(JsonError);
});
