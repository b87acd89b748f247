/** An expression that cannot be accepted; the message says why and, where it is known, at which `LINE:COLUMN`. */
export class ExpressionError extends Error {
  override readonly name = "ExpressionError";
}

/** `LINE:COLUMN` of an offset, both from 1. */
export function positionOf(source: string, offset: number): string {
  const before = source.slice(0, offset).split(/\r\n|\r|\n/);
  return `${before.length}:${(before.at(-1) as string).length + 1}`;
}
