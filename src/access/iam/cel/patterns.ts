import { RE2JS } from "@bufbuild/re2";
import { charge } from "./evaluation.ts";
import { ExpressionError } from "./expression-error.ts";
import { maxPatternLength, maxPatternProgram } from "./limits.ts";

type Program = ReturnType<RE2JS["re2"]>["prog"];

// The operations of a program. [re2, prog.h, InstOp]
const alt = 1;
const altMatch = 2;
const capture = 3;
const emptyWidth = 4;
const match = 6;
const nop = 7;
const firstRune = 8;

// The conditions of an empty-width operation. [re2, prog.h, EmptyOp]
const beginLine = 1;
const endLine = 2;
const beginText = 4;
const endText = 8;
const wordBoundary = 16;
const noWordBoundary = 32;

/**
 * A regular expression in RE2's syntax, which is CEL's. [CEL, "Regular expressions"]
 *
 * The library parses it. Its own matcher remembers up to 10,000 states of an automaton, 100 MB for some expressions; this
 * one follows all threads of the program side by side [Cox, "Regular Expression Matching: the Virtual Machine Approach"],
 * in time proportional to the text times the program and in no space worth mention.
 */
export class Pattern {
  readonly #program: Program;
  readonly #isAnchored: boolean;

  /** @throws ExpressionError */
  constructor(source: string) {
    if (source.length > maxPatternLength) {
      throw new ExpressionError(`a regular expression of ${source.length} characters; ${maxPatternLength} are allowed`);
    }
    // The library goes through a range character by character then: 0.6 s for a pattern of ranges over all of Unicode.
    if (/\(\?[a-zA-Z]*i/.test(source) && (/\P{ASCII}/u.test(source) || source.includes(String.raw`\x{`))) {
      throw new ExpressionError("a regular expression without regard to case is written in ASCII");
    }
    let compiled: ReturnType<RE2JS["re2"]>;
    try {
      compiled = RE2JS.compile(source).re2();
    } catch (error) {
      throw new ExpressionError((error as Error).message, { cause: error });
    }
    if (compiled.prog.numInst() > maxPatternProgram) {
      throw new ExpressionError("the regular expression is too large: write smaller repetitions");
    }
    this.#program = compiled.prog;
    this.#isAnchored = compiled.cond !== -1 && (compiled.cond & beginText) !== 0;
  }

  /** Whether it matches any part of the text. */
  test(text: string): boolean {
    const program = this.#program;
    const seen = new Int32Array(program.numInst()).fill(-1);
    let threads: number[] = [];
    let previous = -1;
    for (let position = 0; ;) {
      const rune = text.codePointAt(position) ?? -1;
      if (position === 0 || !this.#isAnchored) threads.push(program.start);
      else if (threads.length === 0) return false;
      const conditions = conditionsBetween(previous, rune);
      const next: number[] = [];
      // The threads grow while they are gone through: by those that no character separates from the first.
      for (let i = 0; i < threads.length; i++) {
        const pc = threads[i] as number;
        if (seen[pc] === position) continue;
        seen[pc] = position;
        const { op, out, arg } = program.getInst(pc);
        if (op === match) return true;
        if (op === alt || op === altMatch) threads.push(out, arg);
        else if (op === capture || op === nop) threads.push(out);
        else if (op === emptyWidth && (arg & ~conditions) === 0) threads.push(out);
        else if (op >= firstRune && rune >= 0 && program.getInst(pc).matchRune(rune)) next.push(out);
      }
      charge(threads.length / 16);
      if (rune < 0) return false;
      threads = next;
      previous = rune;
      position += rune > 0xffff ? 2 : 1;
    }
  }
}

function conditionsBetween(before: number, after: number): number {
  let conditions = isWord(before) === isWord(after) ? noWordBoundary : wordBoundary;
  if (before < 0) conditions |= beginText | beginLine;
  else if (before === 0x0a) conditions |= beginLine;
  if (after < 0) conditions |= endText | endLine;
  else if (after === 0x0a) conditions |= endLine;
  return conditions;
}

function isWord(rune: number): boolean {
  return (
    (rune >= 0x61 && rune <= 0x7a) || (rune >= 0x41 && rune <= 0x5a) || (rune >= 0x30 && rune <= 0x39) || rune === 0x5f
  );
}
