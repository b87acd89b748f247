/**
 * Something that was done to one register, and what came of it. Times are of one clock; `returned` is Infinity for what
 * nobody knows the end of: it may have happened at any time since, or never.
 */
export interface Operation {
  called: number;
  returned: number;
  kind: "write" | "delete" | "read";
  /** What was written or read; `null` for nothing there. Of a delete: whether there was something. */
  value: string | null | boolean;
}

/**
 * Whether the operations can be put into one order, each somewhere between its call and its return, in which every
 * answer is right. [Wing & Gong, "Testing and Verifying Concurrent Objects", 1993, with Lowe's memory of what was seen]
 */
export function isLinearizable(operations: readonly Operation[]): boolean {
  const sorted = [...operations].sort((a, b) => a.called - b.called);
  const seen = new Set<string>();
  const search = (done: bigint, state: string | null): boolean => {
    const key = `${done} ${state}`;
    if (seen.has(key)) return false;
    seen.add(key);
    let firstReturn = Infinity;
    let isComplete = true;
    for (const [i, { returned }] of sorted.entries()) {
      if ((done >> BigInt(i)) & 1n) continue;
      firstReturn = Math.min(firstReturn, returned);
      if (returned !== Infinity) isComplete = false;
    }
    if (isComplete) return true;
    for (const [i, operation] of sorted.entries()) {
      if (operation.called > firstReturn) break;
      if ((done >> BigInt(i)) & 1n) continue;
      const next = apply(operation, state);
      if (next !== undefined && search(done | (1n << BigInt(i)), next.state)) return true;
    }
    return false;
  };
  return search(0n, null);
}

/** The state after an operation; `undefined` where its answer cannot be. */
function apply({ kind, value, returned }: Operation, state: string | null): { state: string | null } | undefined {
  if (kind === "write") return { state: value as string };
  if (kind === "read") return value === state ? { state } : undefined;
  if (returned !== Infinity && value !== (state !== null)) return undefined;
  return { state: null };
}
