import { ApiError } from "../../http/api-error.ts";
import type { SqlValue } from "../../metadata/statement.ts";
import { type AuditCondition, comparison, freeText } from "./audit-fields.ts";

const maxFilter = 20_000;
const maxTerms = 50;
/** Texts that stand anywhere: each reads all of every entry. */
const maxTexts = 5;
const maxDepth = 20;

/**
 * The filter of `entries.list`: comparisons and texts joined by AND (or by nothing), OR, NOT (or a minus) and
 * parentheses. What this does not know is refused: a filter that was not understood must not show everything.
 * [Cloud Logging, "Logging query language"] @throws ApiError INVALID_ARGUMENT
 */
export function parseAuditFilter(text: string): AuditCondition {
  if (text.length > maxFilter) throw invalid(`more than ${maxFilter} characters`);
  const parser = new Parser(tokensOf(text));
  if (parser.isAtEnd) return { sql: "1 = 1", params: [] };
  const condition = parser.conjunction(0);
  if (!parser.isAtEnd) throw invalid(`"${parser.rest}" comes after the end`);
  return condition;
}

type Token = { kind: "word" | "text"; value: string; at: number } | { kind: "sign"; value: string; at: number };

/** Signs, texts in quotes, words; `#`, `--` and what follows on the line are comments. */
const token =
  /\s*(?:((?:--|#)[^\n]*)|(>=|<=|!=|=~|!~|=|:|<|>|\(|\)|,)|"((?:[^"\\]|\\.)*)"|(-(?=[\s("A-Za-z]))|([^\s"()=<>!:,]+))/y;

function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  let terms = 0;
  token.lastIndex = 0;
  for (let at = 0; text.slice(at).trim() !== ""; at = token.lastIndex) {
    token.lastIndex = at;
    const match = token.exec(text);
    if (match === null) throw invalid(`"${text.slice(at).trim().slice(0, 60)}" cannot be read`);
    const [all, comment, sign, quoted, minus, word] = match;
    const start = at + all.length - all.trimStart().length;
    if (comment !== undefined) continue;
    if (sign !== undefined) tokens.push({ kind: "sign", value: sign, at: start });
    else if (minus !== undefined) tokens.push({ kind: "sign", value: "-", at: start });
    else if (quoted !== undefined) tokens.push({ kind: "text", value: quoted.replaceAll(/\\(.)/g, "$1"), at: start });
    else tokens.push({ kind: "word", value: word as string, at: start });
    if (quoted !== undefined || word !== undefined || minus !== undefined) terms++;
    if (terms > 2 * maxTerms) throw invalid(`more than ${maxTerms} comparisons`);
  }
  return tokens;
}

const operators = new Set([">=", "<=", "!=", "=~", "!~", "=", ":", "<", ">"]);

class Parser {
  readonly #tokens: readonly Token[];
  #next = 0;
  #texts = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  get isAtEnd(): boolean {
    return this.#next >= this.#tokens.length;
  }

  get rest(): string {
    return this.#tokens
      .slice(this.#next)
      .map(({ value }) => value)
      .join(" ")
      .slice(0, 60);
  }

  /** NOT binds closest, then OR, then AND. */
  conjunction(depth: number): AuditCondition {
    const parts = [this.#disjunction(depth)];
    while (!this.isAtEnd && !this.#is("sign", ")")) {
      this.#skip("word", "AND");
      parts.push(this.#disjunction(depth));
    }
    return join(parts, " AND ");
  }

  #disjunction(depth: number): AuditCondition {
    const parts = [this.#factor(depth)];
    while (this.#skip("word", "OR")) parts.push(this.#factor(depth));
    return join(parts, " OR ");
  }

  #factor(depth: number): AuditCondition {
    if (depth > maxDepth) throw invalid(`more than ${maxDepth} parentheses or NOTs in one another`);
    if (this.#skip("word", "NOT") || this.#skip("sign", "-")) return not(this.#factor(depth + 1));
    if (this.#skip("sign", "(")) {
      const inner = this.conjunction(depth + 1);
      if (!this.#skip("sign", ")")) throw invalid("a parenthesis is not closed");
      return inner;
    }
    const left = this.#take();
    if (left.kind === "sign") throw invalid(`"${left.value}" has nothing before it`);
    if (left.kind === "word" && left.value === "log_id" && this.#skip("sign", "(")) return this.#logId();
    const operator = this.#tokens[this.#next];
    if (operator?.kind !== "sign" || !operators.has(operator.value)) {
      if (++this.#texts > maxTexts) throw invalid(`more than ${maxTexts} texts without a field`);
      return freeText(left.value);
    }
    this.#next++;
    return this.#compared(left.value, operator.value);
  }

  /** `log_id("cloudaudit.googleapis.com/activity")` */
  #logId(): AuditCondition {
    const { value } = this.#take();
    if (!this.#skip("sign", ")")) throw invalid("log_id takes one name in parentheses");
    return comparison("logName", "=", value);
  }

  /** One value, or several in parentheses joined by OR. */
  #compared(field: string, operator: string): AuditCondition {
    if (!this.#skip("sign", "(")) return comparison(field, operator, this.#value());
    const parts = [comparison(field, operator, this.#value())];
    while (this.#skip("word", "OR")) parts.push(comparison(field, operator, this.#value()));
    if (!this.#skip("sign", ")")) throw invalid(`${field}: its values are joined by OR, in parentheses`);
    return join(parts, " OR ");
  }

  /** A time has colons in it, which are signs elsewhere. */
  #value(): string {
    const first = this.#take();
    if (first.kind === "sign") throw invalid(`"${first.value}" is no value`);
    let { value } = first;
    while (first.kind === "word" && this.#isNear(":")) value += this.#take().value + this.#take().value;
    return value;
  }

  #isNear(sign: string): boolean {
    const [before, here] = [this.#tokens[this.#next - 1], this.#tokens[this.#next]];
    return (
      here?.kind === "sign" &&
      here.value === sign &&
      before !== undefined &&
      here.at === before.at + before.value.length
    );
  }

  #is(kind: Token["kind"], value: string): boolean {
    const here = this.#tokens[this.#next];
    return here?.kind === kind && here.value === value;
  }

  #skip(kind: Token["kind"], value: string): boolean {
    if (!this.#is(kind, value)) return false;
    this.#next++;
    return true;
  }

  #take(): Token {
    const here = this.#tokens[this.#next++];
    if (here === undefined) throw invalid("it ends too early");
    return here;
  }
}

function join(parts: readonly AuditCondition[], by: string): AuditCondition {
  const [only] = parts;
  if (parts.length === 1 && only !== undefined) return only;
  const params: SqlValue[] = parts.flatMap((part) => part.params);
  const times = by === " AND " ? parts.flatMap(({ time }) => time ?? []) : [];
  return {
    sql: parts.map(({ sql }) => `(${sql})`).join(by),
    params,
    ...(times.length > 0 && { time: join(times, by) }),
  };
}

function not({ sql, params }: AuditCondition): AuditCondition {
  // What an entry has not got is not equal to anything.
  return { sql: `(${sql}) IS NOT TRUE`, params };
}

export function invalid(message: string): ApiError {
  return new ApiError("INVALID_ARGUMENT", `filter: ${message}.`);
}
