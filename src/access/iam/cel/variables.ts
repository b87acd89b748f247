import type { WorkBudget } from "./evaluation.ts";

/** What a variable may be declared as, and its values: times in milliseconds, lists and maps as JSON has them. */
export interface VariableValues {
  bool: boolean;
  int: bigint;
  double: number;
  string: string;
  timestamp: number;
  list: readonly unknown[];
  map: Readonly<Record<string, unknown>>;
  dyn: unknown;
}

/** By name; a name may have dots. */
export type Variables = Readonly<Record<string, keyof VariableValues>>;

export type ValuesOf<Declared extends Variables> = {
  readonly [Name in keyof Declared]: VariableValues[Declared[Name]];
};

/** What an expression may come to; times and durations as their JSON strings. */
export type ExpressionValue =
  null | boolean | bigint | number | string | Uint8Array | ExpressionValue[] | Map<ExpressionValue, ExpressionValue>;

export interface ResultTypes {
  bool: boolean;
  string: string;
  any: ExpressionValue;
}

/** A compiled expression. */
export interface Expression<Declared extends Variables, Result> {
  /** Those of the declared variables that it reads. */
  readonly variables: ReadonlySet<keyof Declared>;
  /**
   * What it comes to. `undefined` if that is an error, as for a key that is missing, for values that are larger than the
   * limits or not of the types declared, or if it would take too long. Never throws.
   * @param budget what it may take together with others
   */
  evaluate(values: ValuesOf<Declared>, budget?: WorkBudget): Result | undefined;
}
