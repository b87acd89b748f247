import { ApiError } from "../http/api-error.ts";
import { stateOf } from "./project-views.ts";
import type { Project } from "./projects.ts";

const maxFilter = 1000;
const maxDepth = 20;

type Test = (project: Project) => boolean;

/** `web*`: a star stands for anything, and letters in either case are the same. */
function matches(pattern: string, value: string): boolean {
  const [first = "", ...rest] = pattern.toLowerCase().split("*");
  const text = value.toLowerCase();
  const last = rest.pop();
  if (last === undefined) return text === first;
  if (!text.startsWith(first)) return false;
  // Each part where it first stands after the one before: no regular expression, which strangers could make run for ever.
  let position = first.length;
  for (const part of rest) {
    const found = text.indexOf(part, position);
    if (found < 0) return false;
    position = found + part.length;
  }
  return text.length - last.length >= position && text.endsWith(last);
}

const fields: Record<string, (project: Project) => string> = {
  id: ({ id }) => id,
  projectid: ({ id }) => id,
  projectnumber: ({ number }) => number,
  name: ({ displayName }) => displayName,
  displayname: ({ displayName }) => displayName,
  lifecyclestate: stateOf,
  state: stateOf,
  "parent.id": ({ organization }) => organization,
  "parent.type": () => "organization",
  parent: ({ organization }) => `organizations/${organization}`,
};

/**
 * The filter of `projects.list` and `projects.search`: `KEY:VALUE` and `KEY=VALUE`, `KEY=(VALUE VALUE)` for one of
 * several, joined by spaces, AND, OR, NOT and parentheses; keys are `id`, `name`, `lifecycleState`, `labels.LABEL`,
 * `parent.id`… OR binds closer than AND. [Resource Manager, projects.list, filter; AIP-160]
 * @throws ApiError INVALID_ARGUMENT for another grammar: a filter that was not understood must not show everything
 */
export function parseProjectFilter(text: string): Test {
  if (text.length > maxFilter) throw invalid(`more than ${maxFilter} characters`);
  const tokens = text.match(/[()]|(?:[^\s()"]|"[^"]*")+/g) ?? [];
  const parser = new Parser(tokens);
  const test = tokens.length === 0 ? () => true : parser.sequence(0);
  if (!parser.isAtEnd) throw invalid("there is one parenthesis too many");
  return test;
}

class Parser {
  readonly #tokens: readonly string[];
  #next = 0;

  constructor(tokens: readonly string[]) {
    this.#tokens = tokens;
  }

  get isAtEnd(): boolean {
    return this.#next >= this.#tokens.length;
  }

  /** What is joined by AND, or by nothing. */
  sequence(depth: number): Test {
    if (depth > maxDepth) throw invalid(`more than ${maxDepth} parentheses in one another`);
    const tests = [this.#alternatives(depth)];
    while (!this.isAtEnd && this.#tokens[this.#next] !== ")") {
      if (this.#tokens[this.#next] === "AND") this.#next++;
      tests.push(this.#alternatives(depth));
    }
    return (project) => tests.every((test) => test(project));
  }

  #alternatives(depth: number): Test {
    const tests = [this.#factor(depth)];
    while (this.#tokens[this.#next] === "OR") {
      this.#next++;
      tests.push(this.#factor(depth));
    }
    return (project) => tests.some((test) => test(project));
  }

  #factor(depth: number): Test {
    const token = this.#take();
    if (token === "NOT") {
      const test = this.#factor(depth + 1);
      return (project) => !test(project);
    }
    if (token !== "(") return this.#comparison(token);
    const inner = this.sequence(depth + 1);
    if (this.#take() !== ")") throw invalid("a parenthesis is not closed");
    return inner;
  }

  #comparison(token: string): Test {
    const [, key = "", value = ""] = /^([A-Za-z][\w.-]*)[:=](.*)$/.exec(token) ?? [];
    const read = fieldOf(key);
    if (read === undefined) throw invalid(`"${token.slice(0, 100)}" is not KEY:VALUE with a key that projects have`);
    const values = value === "" && this.#tokens[this.#next] === "(" ? this.#list() : [value];
    const patterns = values.map((each) => each.replace(/^"(.*)"$/, "$1"));
    return (project) => {
      const actual = read(project);
      return actual !== undefined && patterns.some((pattern) => matches(pattern, actual));
    };
  }

  #list(): string[] {
    this.#next++;
    const values: string[] = [];
    for (let token = this.#take(); token !== ")"; token = this.#take()) if (token !== "OR") values.push(token);
    return values;
  }

  #take(): string {
    const token = this.#tokens[this.#next++];
    if (token === undefined) throw invalid("it ends too early");
    return token;
  }
}

function fieldOf(key: string): ((project: Project) => string | undefined) | undefined {
  const name = key.toLowerCase();
  if (Object.hasOwn(fields, name)) return fields[name];
  const label = /^labels\.([\w-]+)$/.exec(key)?.[1];
  return label === undefined ? undefined : ({ labels }) => (Object.hasOwn(labels, label) ? labels[label] : undefined);
}

function invalid(message: string): ApiError {
  return new ApiError("INVALID_ARGUMENT", `filter: ${message}.`);
}
