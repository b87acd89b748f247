import { type CelEnv, CelScalar, type CelType, listType, mapType } from "@bufbuild/cel";
import type { Expr } from "@bufbuild/cel-spec/cel/expr/syntax_pb.js";
import { ExpressionError, positionOf } from "./expression-error.ts";
import { maxCost, maxListLength, maxNodes } from "./limits.ts";
import { Pattern } from "./patterns.ts";
import { parseTemplate } from "./strings.ts";
import { zonedFunctions, zoneOf } from "./times.ts";
import { fits, iterated, merge, operatorRules } from "./types.ts";
import type { ResultTypes } from "./variables.ts";

const { BOOL, BYTES, DOUBLE, DYN, INT, NULL, STRING, TYPE, UINT } = CelScalar;

/** Identifiers that denote types. [CEL, "Values"] */
const typeNames = ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];

const literalTypes: Readonly<Record<string, CelType>> = {
  boolValue: BOOL,
  bytesValue: BYTES,
  doubleValue: DOUBLE,
  int64Value: INT,
  nullValue: NULL,
  stringValue: STRING,
  uint64Value: UINT,
};

export interface Checks {
  source: string;
  /** Where in the source the node of an id stands. */
  offsets: Readonly<Record<string, number>>;
  functions: CelEnv["funcs"];
  variables: ReadonlyMap<string, CelType>;
  result: keyof ResultTypes;
}

export interface CheckedExpression {
  /** The variables that it reads. */
  variables: ReadonlySet<string>;
  /** The regular expressions in it. */
  patterns: ReadonlyMap<string, Pattern>;
  /** How many nodes an evaluation evaluates at the most. */
  cost: number;
}

/** What is known of a node before evaluation. */
interface Operand {
  type: CelType;
  /** How many nodes its evaluation evaluates at the most. */
  cost: number;
  /** How many elements it has at the most, if it is a list or a map. */
  length: number;
}

/**
 * Checks types, which the library does not, and what the evaluation costs at the worst. [CEL, "Gradual Type Checking"]
 * @throws ExpressionError
 */
export function checkExpression(expr: Expr, checks: Checks): CheckedExpression {
  const checker = new Checker(checks);
  const { type, cost } = checker.check(expr);
  const wanted = { bool: BOOL, string: STRING, any: DYN }[checks.result];
  if (!fits(type, wanted)) throw new ExpressionError(`it comes to ${type.toString()}, not to ${wanted.name}`);
  if (cost > maxCost) {
    throw new ExpressionError(
      `it may take ${cost} steps and ${maxCost} are allowed; a macro takes its steps for each of up to ${maxListLength} elements`,
    );
  }
  return { variables: checker.variables, patterns: checker.patterns, cost };
}

type Kind<Case extends string> = Extract<Expr["exprKind"], { case: Case }>["value"];

class Checker {
  readonly variables = new Set<string>();
  readonly patterns = new Map<string, Pattern>();
  readonly #checks: Checks;
  /** The variables of the macro under way. */
  readonly #locals = new Map<string, CelType>();
  #nodes = 0;

  constructor(checks: Checks) {
    this.#checks = checks;
  }

  check(expr: Expr): Operand {
    if (++this.#nodes > maxNodes) throw new ExpressionError(`it has more than ${maxNodes} parts`);
    const { exprKind } = expr;
    switch (exprKind.case) {
      case "constExpr":
        return { type: this.#constant(expr, exprKind.value), cost: 1, length: 0 };
      case "identExpr":
      case "selectExpr":
        return this.#variable(expr) ?? this.#field(expr, exprKind.value as Kind<"selectExpr">);
      case "listExpr":
        return this.#list(exprKind.value);
      case "structExpr":
        return this.#map(expr, exprKind.value);
      case "callExpr":
        return this.#call(expr, exprKind.value);
      case "comprehensionExpr":
        return this.#comprehension(expr, exprKind.value);
      case undefined:
        throw this.#error(expr, "this is no expression");
    }
  }

  #constant(expr: Expr, { constantKind: { case: kind, value } }: Kind<"constExpr">): CelType {
    if (
      (kind === "int64Value" && BigInt.asIntN(64, value) !== value) ||
      (kind === "uint64Value" && BigInt.asUintN(64, value) !== value)
    ) {
      throw this.#error(expr, "the number is out of range");
    }
    return (kind === undefined ? undefined : literalTypes[kind]) ?? DYN;
  }

  /** A variable or the name of a type; `undefined` if it is a field of one. [CEL, "Name Resolution"] */
  #variable(expr: Expr): Operand | undefined {
    const name = qualifiedName(expr);
    if (name === undefined) return undefined;
    const local = this.#locals.get(name);
    const type = local ?? this.#checks.variables.get(name) ?? (typeNames.includes(name) ? TYPE : undefined);
    if (type === undefined) {
      if (this.#isKnown(name)) return undefined;
      throw this.#unknown(expr, name);
    }
    if (local === undefined && type !== TYPE) this.variables.add(name);
    return { type, cost: 1, length: maxListLength };
  }

  #field(expr: Expr, { operand, field, testOnly }: Kind<"selectExpr">): Operand {
    const { type, cost } = this.check(operand as Expr);
    if (type.name !== "dyn" && !(type.kind === "map" && fits(STRING, type.key))) {
      throw this.#error(expr, `${type.toString()} has no field ${field}`);
    }
    const held = type.kind === "map" ? type.value : DYN;
    return { type: testOnly ? BOOL : held, cost: 1 + cost, length: maxListLength };
  }

  #list({ elements }: Kind<"listExpr">): Operand {
    const operands = elements.map((element) => this.check(element));
    return { type: listType(mergeAll(operands)), cost: 1 + sum(operands), length: elements.length };
  }

  #map(expr: Expr, { messageName, entries }: Kind<"structExpr">): Operand {
    if (messageName !== "") throw this.#error(expr, `there is no message ${messageName}`);
    const keys = entries.map(({ keyKind }) => this.check(keyKind.value as Expr));
    const values = entries.map(({ value }) => this.check(value as Expr));
    const key = mergeAll(keys);
    if (![STRING, INT, UINT, BOOL].some((allowed) => fits(key, allowed))) {
      throw this.#error(expr, `${key.toString()} cannot be the key of a map`);
    }
    const type = mapType(key as typeof STRING, mergeAll(values));
    return { type, cost: 1 + sum(keys) + sum(values), length: entries.length };
  }

  #call(expr: Expr, { function: name, target, args }: Kind<"callExpr">): Operand {
    const qualified = target === undefined ? undefined : qualifiedName(target);
    if (qualified !== undefined && !this.#isKnown(qualified)) throw this.#unknown(expr, `${qualified}.${name}()`);
    const operands = (target === undefined ? args : [target, ...args]).map((operand) => this.check(operand));
    const types = operands.map(({ type }) => type);
    const rule = operatorRules.get(name);
    const type =
      rule === undefined
        ? this.#resultType(name, types, target !== undefined)
        : rule(...(types as [CelType, CelType, CelType]));
    if (type === undefined) {
      const isKnown = rule !== undefined || this.#checks.functions.find(name) !== undefined;
      const spelling = /^[a-zA-Z]/.test(name) ? `${name}()` : name.replaceAll(/[_@]/g, "");
      const taken = types.map(String).join(", ");
      throw this.#error(expr, isKnown ? `${spelling} does not take (${taken})` : `there is no function ${spelling}`);
    }
    if (target !== undefined) this.#checkLiteral(name, args[0]);
    // The library looks for a number among all the keys of a map.
    const isSearch = name === "_[_]" && types[0]?.kind !== "list" && types[1] !== STRING;
    return { type, cost: (isSearch ? 10 : 1) + sum(operands), length: lengthAfter(name, operands) };
  }

  /** By the overloads that may take operands of these types. */
  #resultType(name: string, types: CelType[], isMethod: boolean): CelType | undefined {
    const results: CelType[] = [];
    for (const { target, arguments: parameters, result } of this.#checks.functions.find(name) ?? []) {
      const wanted = target === undefined ? parameters : [target, ...parameters];
      if ((target !== undefined) !== isMethod || wanted.length !== types.length) continue;
      if (types.every((type, i) => fits(type, wanted[i] as CelType))) results.push(result);
    }
    return results.length === 0 ? undefined : results.reduce(merge);
  }

  /** What can be told from a literal argument before evaluation. Patterns are compiled only here. */
  #checkLiteral(name: string, argument: Expr | undefined): void {
    if (argument === undefined) return;
    const constant = argument.exprKind.case === "constExpr" ? argument.exprKind.value.constantKind : undefined;
    if (constant?.case !== "stringValue") {
      if (name === "matches") throw this.#error(argument, "matches() takes its regular expression as a literal");
      return;
    }
    const literal = constant.value;
    try {
      if (name === "matches") this.patterns.set(literal, new Pattern(literal));
      else if (name === "extract") parseTemplate(literal);
      else if (zonedFunctions.includes(name)) zoneOf(literal);
    } catch (error) {
      throw this.#error(argument, (error as Error).message);
    }
  }

  /** What a macro expands to. [CEL, "Macros"] */
  #comprehension(expr: Expr, value: Kind<"comprehensionExpr">): Operand {
    if (this.#locals.size > 0) throw this.#error(expr, "a macro cannot stand in the body of another");
    const { iterVar, accuVar } = value;
    const range = this.check(value.iterRange as Expr);
    const initial = this.check(value.accuInit as Expr);
    const element = iterated(range.type);
    if (element === undefined) throw this.#error(expr, `a macro takes a list or a map, not ${range.type.toString()}`);
    // The library would take `VARIABLE.FIELD` for the declared variable of that name.
    if ([...this.#checks.variables.keys(), ...typeNames].some((name) => `${name}.`.startsWith(`${iterVar}.`))) {
      throw this.#error(expr, `${iterVar} is the name of something else`);
    }
    this.#locals.set(accuVar, initial.type).set(iterVar, element);
    const condition = this.check(value.loopCondition as Expr);
    const step = this.check(value.loopStep as Expr);
    const result = this.check(value.result as Expr);
    this.#locals.clear();
    if (!fits(step.type, initial.type)) throw this.#error(expr, `the macro's body comes to ${step.type.toString()}`);
    const cost = 1 + range.cost + initial.cost + result.cost + range.length * (condition.cost + step.cost);
    return { type: result.type, cost, length: range.length };
  }

  /** Whether the name, or one that it continues with a dot, denotes something. */
  #isKnown(name: string): boolean {
    const names = [...this.#locals.keys(), ...this.#checks.variables.keys(), ...typeNames];
    return names.some((known) => `${name}.`.startsWith(`${known}.`));
  }

  #unknown(expr: Expr, name: string): ExpressionError {
    const locals = [...this.#locals.keys()].filter((local) => !local.startsWith("@"));
    const known = [...this.#checks.variables.keys(), ...locals];
    return this.#error(rootOf(expr), `${name} is not known; known are ${known.join(", ")}`);
  }

  #error(expr: Expr, problem: string): ExpressionError {
    const offset = this.#checks.offsets[String(expr.id)] ?? 0;
    return new ExpressionError(`${positionOf(this.#checks.source, offset)}: ${problem}`);
  }
}

/** `a.b.c`, if the node is nothing but such a name. */
function qualifiedName({ exprKind }: Expr): string | undefined {
  if (exprKind.case === "identExpr") return exprKind.value.name;
  if (exprKind.case !== "selectExpr" || exprKind.value.testOnly) return undefined;
  const prefix = qualifiedName(exprKind.value.operand as Expr);
  return prefix === undefined ? undefined : `${prefix}.${exprKind.value.field}`;
}

/** What a chain of fields and methods begins with. */
function rootOf(expr: Expr): Expr {
  const { case: kind, value } = expr.exprKind;
  const operand = kind === "selectExpr" ? value.operand : kind === "callExpr" ? value.target : undefined;
  return operand === undefined ? expr : rootOf(operand);
}

/** How many elements a function gives back at the most. */
function lengthAfter(name: string, operands: Operand[]): number {
  const lengths = operands.map(({ length }) => length);
  const total = lengths.reduce((a, b) => a + b, 0);
  if (name === "_+_") return Math.min(total, maxListLength);
  return name === "_?_:_" ? Math.max(...lengths) : maxListLength;
}

function mergeAll(operands: Operand[]): CelType {
  const types = operands.map(({ type }) => type);
  return types.length === 0 ? DYN : types.reduce(merge);
}

function sum(operands: Operand[]): number {
  return operands.reduce((total, { cost }) => total + cost, 0);
}
