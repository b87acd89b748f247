import { type CelEnv, type CelFunc, celFunc, type CelList, celList, CelScalar, type CelValue } from "@bufbuild/cel";
import { isCelList, isCelMap, listType, mapType } from "@bufbuild/cel";
import { charge } from "./evaluation.ts";
import { maxListLength } from "./limits.ts";

const { BOOL, DYN } = CelScalar;
const LIST = listType(DYN);
const MAP = mapType(DYN, DYN);

/**
 * Comparisons that go through whole lists and maps, and joining lists; with the work counted. The library's own `+` nests
 * a list in the next, so that what `map()` and `filter()` make is gone through in the square of its length; and its `in`
 * does not see a key whose value is null.
 */
export function collectionFunctions(standard: CelEnv): CelFunc[] {
  const isEqual = standardFunction(standard, "_==_");
  const isIn = standardFunction(standard, "@in");
  return [
    celFunc("_==_", [DYN, DYN], BOOL, (left, right) => {
      chargeFor(left, right);
      return isEqual(left, right);
    }),
    celFunc("_!=_", [DYN, DYN], BOOL, (left, right) => {
      chargeFor(left, right);
      return !isEqual(left, right);
    }),
    celFunc("@in", [DYN, LIST], BOOL, (value, list) => {
      chargeFor(list);
      return isIn(value, list);
    }),
    ...mapKeys.map((type) =>
      celFunc("@in", [type, MAP], BOOL, (key, map) => {
        charge(1 + map.size / 16);
        return map.get(key) !== undefined;
      }),
    ),
    celFunc("_+_", [LIST, LIST], LIST, concatenate),
  ];
}

const mapKeys = [CelScalar.STRING, CelScalar.DOUBLE, CelScalar.INT, BOOL, CelScalar.UINT];

function standardFunction({ funcs }: CelEnv, name: string): (...operands: CelValue[]) => boolean {
  const found = funcs.find(name);
  return (...operands) => found?.call(0, undefined, operands) === true;
}

function chargeFor(...values: CelValue[]): void {
  for (const value of values) {
    if (typeof value === "string" || value instanceof Uint8Array) charge(1 + value.length / 64);
    else if (isCelList(value)) chargeFor(...value);
    else if (isCelMap(value)) for (const [key, held] of value) chargeFor(key, held);
    else charge(1);
  }
}

/** The arrays under the lists made here, so that the next need not go through them element by element. */
const arrays = new WeakMap<CelList, readonly CelValue[]>();

function concatenate(left: CelList, right: CelList): CelList {
  if (left.size + right.size > maxListLength) throw new Error("the list gets too long");
  const array = elementsOf(left).concat(elementsOf(right));
  charge(1 + array.length / 256);
  const list = celList(array);
  arrays.set(list, array);
  return list;
}

function elementsOf(list: CelList): readonly CelValue[] {
  return arrays.get(list) ?? [...list];
}
