import { maxWork } from "./limits.ts";
import type { Pattern } from "./patterns.ts";

// Evaluations never overlap, for none awaits: what belongs to the one under way is held here.
let workLeft = 0;
let patterns: ReadonlyMap<string, Pattern> = new Map();

/** What several evaluations may do together. */
export interface WorkBudget {
  left: number;
}

export function startEvaluation(patternsOfExpression: ReadonlyMap<string, Pattern>, most = maxWork): void {
  workLeft = Math.min(maxWork, most);
  patterns = patternsOfExpression;
}

/** What the evaluation has left of what it started with. */
export function remainingWork(): number {
  return Math.max(workLeft, 0);
}

/** Counts work of the evaluation under way, in units as of `maxWork`. @throws Error if it has had its share */
export function charge(units: number): void {
  workLeft -= units;
  if (workLeft < 0) throw new Error("the evaluation needs too much work");
}

/** The compiled pattern of the expression under way. */
export function patternOf(source: string): Pattern {
  const pattern = patterns.get(source);
  if (pattern === undefined) throw new Error("the pattern is not known");
  return pattern;
}
