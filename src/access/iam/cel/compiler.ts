import { type CelInput, type CelResult, isCelError, parse, plan } from "@bufbuild/cel";
import { checkExpression } from "./checker.ts";
import { createEnvironment } from "./environment.ts";
import { remainingWork, startEvaluation } from "./evaluation.ts";
import { ExpressionError } from "./expression-error.ts";
import { maxWork } from "./limits.ts";
import { bindValue, toValue, typesOfVariables } from "./values.ts";
import type { Expression, ResultTypes, Variables } from "./variables.ts";

const environment = createEnvironment();

/** For a source that `checkSyntax` has let through. @throws ExpressionError */
export function compile<const Declared extends Variables, Kind extends keyof ResultTypes>(
  source: string,
  { variables, result: kind }: { variables: Declared; result: Kind },
): Expression<Declared, ResultTypes[Kind]> {
  const { expr, sourceInfo } = parseSource(source);
  const types = new Map(Object.entries(variables).map(([name, type]) => [name, typesOfVariables[type]]));
  const checked = checkExpression(expr, {
    source,
    offsets: sourceInfo?.positions ?? {},
    functions: environment.funcs,
    variables: types,
    result: kind,
  });
  const run = plan(environment, expr) as (values: Record<string, CelInput>) => CelResult;
  const read = [...checked.variables].map((name) => ({ name, type: variables[name] as Variables[string] }));
  return {
    variables: checked.variables,
    evaluate(values, budget) {
      const most = Math.min(maxWork, (budget?.left ?? Infinity) - checked.cost);
      if (most < 0) return undefined;
      startEvaluation(checked.patterns, most);
      try {
        // Without a prototype: the library asks for names such as `constructor` too.
        const bound = Object.create(null) as Record<string, CelInput>;
        for (const { name, type } of read) bound[name] = bindValue(type, values[name]);
        const value = run(bound);
        if (isCelError(value)) return undefined;
        const plain = kind === "any" ? toValue(value, environment) : value;
        const isAsked = kind === "any" || typeof plain === (kind === "bool" ? "boolean" : "string");
        return isAsked ? (plain as ResultTypes[Kind]) : undefined;
      } catch {
        return undefined;
      } finally {
        if (budget !== undefined) budget.left -= checked.cost + most - remainingWork();
      }
    },
  };
}

function parseSource(source: string): ReturnType<typeof parse> {
  try {
    return parse(source);
  } catch (error) {
    // Its message may list everything that could have come, and begins with `<input>:LINE:COLUMN: `.
    const message = error instanceof RangeError ? "it is too complex" : (error as Error).message;
    throw new ExpressionError(message.replace(/^<input>:/, "").slice(0, 400), { cause: error });
  }
}
