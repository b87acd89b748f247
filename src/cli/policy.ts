/** [IAM, "Policy"] */
export interface Policy {
  version?: number;
  etag?: string;
  bindings?: Binding[];
}

export interface Binding {
  role: string;
  members: string[];
  condition?: Condition;
}

export interface Condition {
  title: string;
  expression: string;
  description?: string;
}

/** One member's role, on a condition or without one. */
export interface Grant {
  role: string;
  member: string;
  condition: Condition | undefined;
}

/** The policy with one more grant; `undefined` where it has it already. */
export function withGrant(policy: Policy, { role, member, condition }: Grant): Policy | undefined {
  const { bindings = [] } = policy;
  const known = bindings.find((binding) => binding.role === role && sameCondition(binding.condition, condition));
  if (known?.members.some((each) => sameMember(each, member)) === true) return undefined;
  const members = [...(known?.members ?? []), member];
  const added = condition === undefined ? { role, members } : { role, members, condition };
  return { ...policy, version: 3, bindings: [...bindings.filter((binding) => binding !== known), added] };
}

/** The policy without a grant; `undefined` where it does not have it. @param condition `any`: on whichever condition */
export function withoutGrant(
  policy: Policy,
  { role, member, condition }: Omit<Grant, "condition"> & { condition: Grant["condition"] | "any" },
): Policy | undefined {
  const isMeant = (binding: Binding): boolean =>
    binding.role === role &&
    (condition === "any" || sameCondition(binding.condition, condition)) &&
    binding.members.some((each) => sameMember(each, member));
  const { bindings = [] } = policy;
  if (!bindings.some(isMeant)) return undefined;
  const left = bindings.map((binding) =>
    isMeant(binding) ? { ...binding, members: binding.members.filter((each) => !sameMember(each, member)) } : binding,
  );
  return { ...policy, version: 3, bindings: left.filter(({ members }) => members.length > 0) };
}

function sameCondition(a: Condition | undefined, b: Condition | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.title === b.title && a.expression === b.expression && (a.description ?? "") === (b.description ?? "");
}

/** Addresses are the same in upper and lower case. */
function sameMember(a: string, b: string): boolean {
  return a === b || (!/^principal(?:Set)?:/.test(a) && a.toLowerCase() === b.toLowerCase());
}
