import type { Binding, Policy } from "./policy.ts";

/**
 * A policy as a caller of this version reads it: one that does not know conditions gets none, and role names that
 * cannot be mistaken for unconditional ones. [IAM, "Specifying a policy version"]
 * @param requestedVersion 0, 1 or 3
 */
export function viewPolicy(policy: Policy, requestedVersion: number): object {
  const isConditional = policy.bindings.some(({ condition }) => condition !== undefined);
  const knows = requestedVersion >= 3;
  return {
    version: isConditional && knows ? 3 : 1,
    etag: policy.etag,
    ...(policy.bindings.length > 0 && { bindings: knows ? policy.bindings : policy.bindings.map(withoutCondition) }),
    ...(policy.auditConfigs.length > 0 && { auditConfigs: policy.auditConfigs }),
  };
}

function withoutCondition({ role, members, condition }: Binding): Binding {
  if (condition === undefined) return { role, members };
  const hash = Bun.CryptoHasher.hash("sha256", JSON.stringify(condition), "hex").slice(0, 20);
  return { role: `${role}_withcond_${hash}`, members };
}
