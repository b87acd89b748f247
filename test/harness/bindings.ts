import type { Berth } from "./berth.ts";
import { mustCall } from "./federation.ts";

export interface TestBinding {
  role: string;
  members: string[];
  condition?: { title: string; expression: string };
}

interface TestPolicy {
  etag: string;
  bindings?: TestBinding[];
}

/** Adds bindings to the policy of a registry's bucket. */
export async function bindOnBucket(berth: Berth, bucket: string, ...added: TestBinding[]): Promise<void> {
  const path = `/storage/v1/b/${bucket}/iam`;
  const policy = await mustCall<TestPolicy>(berth, "GET", `${path}?optionsRequestedPolicyVersion=3`);
  await mustCall(berth, "PUT", path, { ...policy, version: 3, bindings: [...(policy.bindings ?? []), ...added] });
}

/** Adds bindings to the policy of what a path names: `/v1/projects/P`. */
export async function bind(berth: Berth, path: string, ...added: TestBinding[]): Promise<void> {
  const options = { requestedPolicyVersion: 3 };
  const policy = await mustCall<TestPolicy>(berth, "POST", `${path}:getIamPolicy`, { options });
  const bindings = [...(policy.bindings ?? []), ...added];
  await mustCall(berth, "POST", `${path}:setIamPolicy`, { policy: { ...policy, version: 3, bindings } });
}

/** A binding of one service account, on a condition or without. */
export function bindingOf(role: string, email: string, expression?: string): TestBinding {
  const members = [`serviceAccount:${email}`];
  return expression === undefined ? { role, members } : { role, members, condition: { title: "limited", expression } };
}

/** Takes a binding away again. */
export async function unbind(berth: Berth, path: string, { role, members }: TestBinding): Promise<void> {
  const options = { requestedPolicyVersion: 3 };
  const policy = await mustCall<TestPolicy>(berth, "POST", `${path}:getIamPolicy`, { options });
  const bindings = (policy.bindings ?? [])
    .map((each) =>
      each.role === role ? { ...each, members: each.members.filter((member) => !members.includes(member)) } : each,
    )
    .filter((each) => each.members.length > 0);
  await mustCall(berth, "POST", `${path}:setIamPolicy`, { policy: { ...policy, version: 3, bindings } });
}
