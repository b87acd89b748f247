import { checkSyntax } from "./cel/syntax.ts";
import type { Expression, ResultTypes, Variables } from "./cel/variables.ts";

export { ExpressionError } from "./cel/expression-error.ts";

/**
 * Compiles an expression in the Common Expression Language: https://github.com/google/cel-spec/blob/master/doc/langdef.md
 * [CEL]. Besides what is standard there are the string functions of cel-go and IAM's `extract` and `date`. The limits
 * stand in `cel/limits.ts`; with them no evaluation takes more than some 50 ms.
 *
 * The library is loaded with the first expression: it takes 25 ms and 24 MB.
 * @throws ExpressionError if it cannot be read, names what is not declared, has types that do not fit, or may take too long
 */
export async function compileExpression<const Declared extends Variables, Kind extends keyof ResultTypes>(
  source: string,
  options: { variables: Declared; result: Kind },
): Promise<Expression<Declared, ResultTypes[Kind]>> {
  checkSyntax(source);
  const { compile } = await import("./cel/compiler.ts");
  return compile(source, options);
}
