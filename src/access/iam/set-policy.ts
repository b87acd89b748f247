import { ApiError } from "../../http/api-error.ts";
import { command } from "../../metadata/database.ts";
import type { ResourceName } from "../../names/resources.ts";
import { type Actor, recordChange } from "../audit/audit-log.ts";
import { readPolicy, writePolicy } from "../policies.ts";
import { type AuditConfig, type Binding, hasOwner, type Policy } from "./policy.ts";

interface SetPolicyInput {
  resource: ResourceName;
  bindings: Binding[];
  /** `undefined`: as they are. */
  auditConfigs: AuditConfig[] | undefined;
  /** Of the policy that was read; empty: whatever is there is replaced. */
  etag: string;
  version: number;
  newEtag: string;
  /** Whether somebody must be left who owns the resource. */
  keepsOwner: boolean;
  actor: Actor;
  now: number;
}

/**
 * Puts a policy in the place of the one that was read.
 * @throws ApiError ABORTED if it is not that one any more; FAILED_PRECONDITION if nobody would own the project;
 *   INVALID_ARGUMENT if conditions would be lost by a caller that does not know of them
 */
export const setPolicy = command("access.setPolicy", function* (input: SetPolicyInput) {
  const { resource, bindings, newEtag: etag } = input;
  const current = yield* readPolicy(resource);
  if (input.etag !== "" && input.etag !== current?.etag) throw new ApiError("ABORTED", concurrentChange);
  if (input.version < 3 && current?.bindings.some(({ condition }) => condition !== undefined) === true) {
    throw new ApiError("INVALID_ARGUMENT", conditionsWouldBeLost);
  }
  if (input.keepsOwner && !hasOwner(bindings)) throw new ApiError("FAILED_PRECONDITION", noOwner);
  const policy: Policy = { etag, bindings, auditConfigs: input.auditConfigs ?? current?.auditConfigs ?? [] };
  yield* writePolicy(resource, policy);
  const bindingDeltas = deltas(current?.bindings ?? [], bindings);
  yield* recordChange(input.actor, resource, { policyDelta: { bindingDeltas } }, input.now);
  return policy;
});

const concurrentChange =
  "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff.";
const conditionsWouldBeLost =
  "The policy has conditions: read it with requestedPolicyVersion 3 and set it with version 3, or they would be lost.";
const noOwner =
  "The policy leaves the project without an owner: roles/owner must have a member that exists, without a condition.";

/** What was added and taken away, as Google's audit log tells it. [IAM, "AuditData", BindingDelta] */
function deltas(before: readonly Binding[], after: readonly Binding[]): object[] {
  const flat = (bindings: readonly Binding[]) =>
    new Map(
      bindings.flatMap(({ role, members, condition }) =>
        members.map((member) => [
          JSON.stringify([role, member, condition]),
          { role, member, ...(condition && { condition }) },
        ]),
      ),
    );
  const [old, young] = [flat(before), flat(after)];
  return [
    ...[...young].filter(([key]) => !old.has(key)).map(([, binding]) => ({ action: "ADD", ...binding })),
    ...[...old].filter(([key]) => !young.has(key)).map(([, binding]) => ({ action: "REMOVE", ...binding })),
  ];
}
