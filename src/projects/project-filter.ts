import { ApiError } from "../http/api-error.ts";
import { stateOf } from "./project-views.ts";
import type { Project } from "./projects.ts";

const maxFilter = 1000;

type Test = (project: Project) => boolean;

/** `id:web*`: `*` stands for anything, and letters in either case are the same. */
function matches(pattern: string, value: string): boolean {
  const source = pattern
    .toLowerCase()
    .split("*")
    .map((part) => part.replaceAll(/[.+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${source.join(".*")}$`).test(value.toLowerCase());
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
 * The filter of `projects.list` and `projects.search`: `KEY:VALUE` or `KEY=VALUE` by spaces or AND, all of which must
 * hold; keys are `id`, `name`, `lifecycleState`, `labels.LABEL`, `parent.id`…
 * @throws ApiError INVALID_ARGUMENT for another grammar: a filter that was not understood must not show everything
 */
export function parseProjectFilter(text: string): Test {
  if (text.length > maxFilter) throw new ApiError("INVALID_ARGUMENT", `filter: more than ${maxFilter} characters.`);
  const terms = text.match(/(?:[^\s"]|"[^"]*")+/g) ?? [];
  const tests = terms.filter((term) => term.toUpperCase() !== "AND").map(parseTerm);
  return (project) => tests.every((test) => test(project));
}

function parseTerm(term: string): Test {
  const [, key, written] = /^([A-Za-z.]+(?:\.[\w-]+)?)[:=](.+)$/.exec(term) ?? [];
  const value = written?.replace(/^"(.*)"$/, "$1");
  if (key !== undefined && value !== undefined) {
    const field = fields[key.toLowerCase()];
    if (field !== undefined) return (project) => matches(value, field(project));
    const label = /^labels\.([\w-]+)$/.exec(key)?.[1];
    if (label !== undefined) return ({ labels }) => Object.hasOwn(labels, label) && matches(value, labels[label] ?? "");
  }
  throw new ApiError(
    "INVALID_ARGUMENT",
    `filter: "${term.slice(0, 100)}" is not KEY:VALUE with a key that projects have.`,
  );
}
