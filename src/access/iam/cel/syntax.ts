import { ExpressionError, positionOf } from "./expression-error.ts";
import { maxNesting, maxSourceLength } from "./limits.ts";

/** Code points, but for surrogates. [CEL, "String and Bytes Values"] */
const escape =
  /\\(?:[abfnrtv"'`\\?]|[xX][\da-fA-F]{2}|u(?![dD][89a-fA-F])[\da-fA-F]{4}|U(?!0000[dD][89a-fA-F])(?:0010|000[\da-fA-F])[\da-fA-F]{4}|[0-3][0-7]{2})/y;

/**
 * Refuses what the parser must not see: it recurses at every bracket and `?`, and would overflow the stack. Also escape
 * sequences that do not exist, which the parser takes for a backslash. [CEL, "Lexis", ESCAPE]
 *
 * A text whose strings the two read differently is one that the parser refuses where they part.
 * @throws ExpressionError
 */
export function checkSyntax(source: string): void {
  if (source.length > maxSourceLength) {
    throw new ExpressionError(`it has ${source.length} characters; ${maxSourceLength} are allowed`);
  }
  // How many `?` are open in each open bracket, the whole expression being the first.
  const conditionals = [0];
  let depth = 0;
  for (let i = 0; i < source.length; i++) {
    const c = source[i] as string;
    const top = conditionals.length - 1;
    if (c === "/" && source[i + 1] === "/") {
      while (i + 1 < source.length && !/[\r\n]/.test(source[i + 1] as string)) i++;
    } else if (c === '"' || c === "'") {
      i = endOfString(source, i);
    } else if (c === "(" || c === "[" || c === "{") {
      conditionals.push(0);
      depth++;
    } else if (c === "?") {
      conditionals[top] = (conditionals[top] as number) + 1;
      depth++;
    } else if (c === ",") {
      depth -= conditionals[top] as number;
      conditionals[top] = 0;
    } else if ((c === ")" || c === "]" || c === "}") && top > 0) {
      depth -= 1 + (conditionals.pop() as number);
    }
    if (depth > maxNesting) throw new ExpressionError(`${positionOf(source, i)}: it nests deeper than ${maxNesting}`);
  }
}

/** The offset of the last character of the string whose first quotation mark stands at `start`. */
function endOfString(source: string, start: number): number {
  const mark = source[start] as string;
  const end = source.startsWith(mark.repeat(3), start) ? mark.repeat(3) : mark;
  const isRaw = start > 0 && /[rR]/.test(source[start - 1] as string);
  for (let i = start + end.length; i < source.length; i++) {
    if (source.startsWith(end, i)) return i + end.length - 1;
    if (end === mark && /[\r\n]/.test(source[i] as string)) break;
    if (source[i] !== "\\" || isRaw) continue;
    escape.lastIndex = i;
    if (!escape.test(source)) {
      const problem = `\\${source[i + 1] ?? ""} begins no escape sequence; a backslash is written \\\\, or as it is in r"…"`;
      throw new ExpressionError(`${positionOf(source, i)}: ${problem}`);
    }
    i = escape.lastIndex - 1;
  }
  throw new ExpressionError(`${positionOf(source, start)}: the string has no end`);
}
