import { type CelEnv, type CelInput, CelScalar, type CelType, type CelValue, listType, mapType } from "@bufbuild/cel";
import { isCelList, isCelMap, isCelType, isCelUint, objectType } from "@bufbuild/cel";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import { charge } from "./evaluation.ts";
import { maxListLength, maxStringLength, maxVariableDepth, maxVariableElements } from "./limits.ts";
import { timestampAt } from "./times.ts";
import type { ExpressionValue, VariableValues } from "./variables.ts";

const { BOOL, DOUBLE, DYN, INT, STRING } = CelScalar;

export const typesOfVariables: Record<keyof VariableValues, CelType> = {
  bool: BOOL,
  int: INT,
  double: DOUBLE,
  string: STRING,
  timestamp: objectType(TimestampSchema),
  list: listType(DYN),
  map: mapType(STRING, DYN),
  dyn: DYN,
};

/** A variable's value as the library takes it. @throws Error if it is not of the type, or larger than the limits */
export function bindValue(type: keyof VariableValues, value: unknown): CelInput {
  switch (type) {
    case "timestamp":
      return timestampAt(value as number);
    case "int":
      if (typeof value === "bigint" && BigInt.asIntN(64, value) === value) return value;
      break;
    case "double":
      if (typeof value === "number") return value;
      break;
    case "bool":
      if (typeof value === "boolean") return value;
      break;
    case "string":
      if (typeof value === "string" && value.length <= maxStringLength) return value;
      break;
    case "list":
      if (Array.isArray(value)) return fromJson(value, { elements: 0 }, 0);
      break;
    case "map":
      if (typeof value === "object" && value !== null && !Array.isArray(value)) {
        return fromJson(value, { elements: 0 }, 0);
      }
      break;
    case "dyn":
      return fromJson(value, { elements: 0 }, 0);
  }
  throw new Error(`the value is no ${type}, or too long`);
}

/** [CEL, "JSON Data Conversion"] */
function fromJson(value: unknown, count: { elements: number }, depth: number): CelInput {
  if (++count.elements > maxVariableElements || depth > maxVariableDepth) throw new Error("the value is too large");
  if (value === null || typeof value === "boolean" || typeof value === "number") return value;
  if (typeof value === "string") return bindValue("string", value);
  if (typeof value !== "object") throw new Error("the value is no JSON");
  if (Array.isArray(value)) {
    if (value.length > maxListLength) throw new Error("the list is too long");
    return value.map((element) => fromJson(element, count, depth + 1));
  }
  const entries = Object.entries(value).filter(([, held]) => held !== undefined);
  if (entries.length > maxListLength) throw new Error("the map is too large");
  return new Map(entries.map(([key, held]) => [bindValue("string", key) as string, fromJson(held, count, depth + 1)]));
}

/** @throws Error if the value is too large */
export function toValue(value: CelValue, environment: CelEnv): ExpressionValue {
  charge(1);
  if (value === null || typeof value !== "object" || value instanceof Uint8Array) return value;
  if (isCelUint(value)) return value.value;
  if (isCelType(value)) return value.name;
  if (isCelList(value)) return Array.from(value, (element) => toValue(element, environment));
  if (isCelMap(value)) {
    return new Map(Array.from(value, ([key, held]) => [toValue(key, environment), toValue(held, environment)]));
  }
  const text = environment.funcs.find("string")?.call(0, undefined, [value]);
  if (typeof text !== "string") throw new Error("the value has no plain form");
  return text;
}
