import { CelScalar, type CelType, listType } from "@bufbuild/cel";

const { BOOL, DOUBLE, DYN, INT, UINT } = CelScalar;

/** Whether a value of a type may be given for one that is wanted; of what is `dyn` that is known only at evaluation. */
export function fits(type: CelType, wanted: CelType): boolean {
  if (type.name === "dyn" || wanted.name === "dyn") return true;
  if (type.kind === "list" && wanted.kind === "list") return fits(type.element, wanted.element);
  if (type.kind === "map" && wanted.kind === "map") return fits(type.key, wanted.key) && fits(type.value, wanted.value);
  return type.kind === wanted.kind && type.name === wanted.name;
}

/** The type of what may be of either type. */
export function merge(a: CelType, b: CelType): CelType {
  if (String(a) === String(b)) return a;
  return a.kind === "list" && b.kind === "list" ? listType(DYN) : DYN;
}

/** What a macro's variable stands for, of a list its elements and of a map its keys; `undefined` for other types. */
export function iterated(type: CelType): CelType | undefined {
  if (type.kind === "list") return type.element;
  if (type.kind === "map") return type.key;
  return type.name === "dyn" ? DYN : undefined;
}

/** The type of an operator's result, or `undefined` if it does not take such operands. */
type Rule = (a: CelType, b: CelType, c: CelType) => CelType | undefined;

const logical: Rule = (a, b) => (fits(a, BOOL) && fits(b, BOOL) ? BOOL : undefined);

const comparison: Rule = (a, b) => (fits(a, b) || (isNumber(a) && isNumber(b)) ? BOOL : undefined);

/** The operators for which the library has no overloads, or wider ones. [CEL, "List of standard definitions"] */
export const operatorRules: ReadonlyMap<string, Rule> = new Map([
  ["_&&_", logical],
  ["_||_", logical],
  ["@not_strictly_false", (a) => (fits(a, BOOL) ? BOOL : undefined)],
  ["_==_", comparison],
  ["_!=_", comparison],
  ["_?_:_", (condition, a, b) => (fits(condition, BOOL) && fits(a, b) ? merge(a, b) : undefined)],
  [
    "_[_]",
    (from, index) => {
      if (from.kind === "list") return fits(index, INT) ? from.element : undefined;
      if (from.kind === "map") return fits(index, from.key) ? from.value : undefined;
      return from.name === "dyn" ? DYN : undefined;
    },
  ],
  [
    "@in",
    (value, among) => {
      const element = iterated(among);
      return element !== undefined && comparison(value, element, DYN) !== undefined ? BOOL : undefined;
    },
  ],
] satisfies [string, Rule][]);

function isNumber(type: CelType): boolean {
  return type.name === INT.name || type.name === UINT.name || type.name === DOUBLE.name;
}
