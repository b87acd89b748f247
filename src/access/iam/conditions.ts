import type { WorkBudget } from "./cel/evaluation.ts";
import { compileExpression } from "./expressions.ts";

/** A condition of a binding. [google.type.Expr] */
export interface Condition {
  title: string;
  description?: string | undefined;
  /** In the Common Expression Language. */
  expression: string;
  location?: string | undefined;
}

/** What a condition may ask about. */
export interface ConditionContext {
  /** Of the request, in milliseconds. */
  time: number;
  /** Relative, such as `projects/PROJECT/…`. */
  resourceName: string;
  /** Such as `cloudresourcemanager.googleapis.com/Project`. */
  resourceType: string;
  /** Such as `cloudresourcemanager.googleapis.com`. */
  resourceService: string;
}

export interface CompiledCondition {
  /**
   * An expression that fails, as by a string that is no timestamp, does not hold; nor does one for which the budget that
   * it shares with others has too little left.
   */
  holds(context: ConditionContext, budget?: WorkBudget): boolean;
}

/** [IAM, "Attribute reference for IAM Conditions"] */
const attributes = {
  "request.time": "timestamp",
  "resource.name": "string",
  "resource.service": "string",
  "resource.type": "string",
} as const;

/** @throws ExpressionError */
export async function compileCondition({ expression }: Condition): Promise<CompiledCondition> {
  const compiled = await compileExpression(expression, { variables: attributes, result: "bool" });
  return {
    holds: ({ time, resourceName, resourceType, resourceService }, budget) =>
      compiled.evaluate(
        {
          "request.time": time,
          "resource.name": resourceName,
          "resource.service": resourceService,
          "resource.type": resourceType,
        },
        budget,
      ) === true,
  };
}
