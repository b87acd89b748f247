import { type CelEnv, celEnv, type CelFunc, celMethod, CelScalar, isCelList } from "@bufbuild/cel";
import { collectionFunctions } from "./collections.ts";
import { conversions } from "./conversions.ts";
import { charge, patternOf } from "./evaluation.ts";
import { maxListLength, maxStringLength } from "./limits.ts";
import { stringFunctions } from "./strings.ts";
import { timeFunctions } from "./times.ts";

/** The functions of every expression. What one does with strings is counted, and bounded in what it gives back. */
export function createEnvironment(): CelEnv {
  const standard = celEnv();
  const { BOOL, STRING } = CelScalar;
  const matches = celMethod("matches", STRING, [STRING], BOOL, function (pattern) {
    return patternOf(pattern).test(this);
  });
  const ours = [...stringFunctions, ...timeFunctions, ...conversions, ...collectionFunctions(standard), matches];
  return celEnv({ funcs: [...celEnv({ funcs: ours }).funcs].map(metered) });
}

function metered(func: CelFunc): CelFunc {
  const call: CelFunc["call"] = (id, target, args) => {
    const result = func.call(id, target, args);
    if (result === undefined) return undefined;
    // What is thrown here ends the evaluation; what a function throws would be an error that `||` may swallow.
    charge((lengthOf(target) + args.reduce((sum: number, arg) => sum + lengthOf(arg), 0) + lengthOf(result)) / 64);
    if (lengthOf(result) > maxStringLength) throw new Error("the string gets too long");
    if (isCelList(result) && result.size > maxListLength) throw new Error("the list gets too long");
    return result;
  };
  return Object.create(func, { call: { value: call } }) as CelFunc;
}

function lengthOf(value: unknown): number {
  return typeof value === "string" || value instanceof Uint8Array ? value.length : 0;
}
