import { type CelFunc, celMethod, CelScalar, listType } from "@bufbuild/cel";
import { strings } from "@bufbuild/cel/ext";
import { maxListLength, maxStringLength } from "./limits.ts";

const { INT, STRING } = CelScalar;
const STRINGS = listType(STRING);

/** Those of the library's that are right and quick. [cel-go, ext/README.md, "Strings"] */
const ofLibrary = new Set(["charAt", "indexOf", "lastIndexOf", "lowerAscii", "substring", "trim", "upperAscii"]);

/**
 * String functions beside the standard ones. `split`, `replace` and `join` are ours: the library's forget what follows
 * the last part, or take time with the square of the length.
 */
export const stringFunctions: CelFunc[] = [
  ...strings.filter(({ name }) => ofLibrary.has(name)),
  celMethod("extract", STRING, [STRING], STRING, function (template) {
    return extract(this, template);
  }),
  celMethod("split", STRING, [STRING], STRINGS, function (separator) {
    return split(this, separator, -1n);
  }),
  celMethod("split", STRING, [STRING, INT], STRINGS, function (separator, limit) {
    return split(this, separator, limit);
  }),
  celMethod("replace", STRING, [STRING, STRING], STRING, function (old, replacement) {
    return replace(this, old, replacement, -1n);
  }),
  celMethod("replace", STRING, [STRING, STRING, INT], STRING, function (old, replacement, limit) {
    return replace(this, old, replacement, limit);
  }),
  celMethod("join", STRINGS, [], STRING, function () {
    return join(this, "");
  }),
  celMethod("join", STRINGS, [STRING], STRING, function (separator) {
    return join(this, separator);
  }),
];

/** Prefix and suffix of an extraction template. @throws Error */
export function parseTemplate(template: string): { prefix: string; suffix: string } {
  const parts = /^([^{}]*)\{[A-Za-z0-9_]+\}([^{}]*)$/.exec(template);
  if (parts === null) {
    throw new Error(`${JSON.stringify(template)} is no extraction template: one has an identifier in braces, once`);
  }
  return { prefix: parts[1] as string, suffix: parts[2] as string };
}

/** [IAM, "Attribute reference", Extract values from attributes] */
function extract(text: string, template: string): string {
  const { prefix, suffix } = parseTemplate(template);
  const found = text.indexOf(prefix);
  if (found < 0) return "";
  const start = found + prefix.length;
  const end = suffix === "" ? text.length : text.indexOf(suffix, start);
  return end < 0 ? "" : text.slice(start, end);
}

/** Into at most `limit` parts, of which the last is all the rest; a negative limit is none. */
function split(text: string, separator: string, limit: bigint): string[] {
  if (limit === 0n || (text === "" && separator === "")) return [];
  const parts: string[] = [];
  const most = limit < 0n ? Number.POSITIVE_INFINITY : Number(limit);
  let start = 0;
  while (parts.length < most - 1) {
    // An empty separator stands between any two characters.
    const end = separator === "" ? start + characterLength(text, start) : text.indexOf(separator, start);
    if (end < 0 || (separator === "" && end >= text.length)) break;
    if (parts.length >= maxListLength) throw new Error("the string has too many parts");
    parts.push(text.slice(start, end));
    start = end + separator.length;
  }
  parts.push(text.slice(start));
  return parts;
}

function characterLength(text: string, at: number): number {
  return (text.codePointAt(at) as number) > 0xffff ? 2 : 1;
}

/** The first `limit` occurrences; a negative limit is none. */
function replace(text: string, old: string, replacement: string, limit: bigint): string {
  if (old === "") throw new Error("replace() takes a string to replace");
  let replaced = "";
  const most = limit < 0n ? Number.POSITIVE_INFINITY : Number(limit);
  let start = 0;
  for (let count = 0; count < most; count++) {
    const end = text.indexOf(old, start);
    if (end < 0) break;
    replaced += text.slice(start, end) + replacement;
    start = end + old.length;
    if (replaced.length > maxStringLength) throw new Error("the string gets too long");
  }
  return replaced + text.slice(start);
}

function join(parts: Iterable<unknown>, separator: string): string {
  let joined = "";
  let isFirst = true;
  for (const part of parts) {
    if (typeof part !== "string") throw new Error("join() takes strings");
    joined += isFirst ? part : separator + part;
    isFirst = false;
    if (joined.length > maxStringLength) throw new Error("the string gets too long");
  }
  return joined;
}
