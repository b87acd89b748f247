import { ApiError } from "../../http/api-error.ts";
import { command } from "../../metadata/database.ts";
import type { ResourceName } from "../../names/resources.ts";
import { type Actor, recordChange } from "../audit/audit-log.ts";
import { readPolicy, writePolicy } from "../policies.ts";
import { type AuditConfig, type Binding, holdersOf, type Policy } from "./policy.ts";

interface SetPolicyInput {
  resource: ResourceName;
  /** `undefined`: as they are. */
  bindings: Binding[] | undefined;
  /** `undefined`: as they are. */
  auditConfigs: AuditConfig[] | undefined;
  /** Of the policy that was read; empty: whatever is there is replaced. */
  etag: string;
  version: number;
  newEtag: string;
  /** The role that somebody must be left with. */
  keepsRole: string | undefined;
  actor: Actor;
  now: number;
}

/**
 * Puts a policy in the place of the one that was read.
 * @throws ApiError ABORTED if it is not that one any more; FAILED_PRECONDITION if nobody would be left who may give roles;
 *   INVALID_ARGUMENT if conditions would be lost by a caller that does not know of them
 */
export const setPolicy = command("access.setPolicy", function* (input: SetPolicyInput) {
  const { resource, newEtag: etag, keepsRole } = input;
  const current = yield* readPolicy(resource);
  const bindings = input.bindings ?? current?.bindings ?? [];
  if (input.etag !== "" && input.etag !== (current?.etag ?? noPolicyEtag))
    throw new ApiError("ABORTED", concurrentChange);
  if (
    input.bindings !== undefined &&
    input.version < 3 &&
    current?.bindings.some(({ condition }) => condition !== undefined) === true
  ) {
    throw new ApiError("INVALID_ARGUMENT", conditionsWouldBeLost);
  }
  if (keepsRole !== undefined && holdersOf(keepsRole, bindings).length === 0) throw nobodyLeft(keepsRole);
  const policy: Policy = { etag, bindings, auditConfigs: input.auditConfigs ?? current?.auditConfigs ?? [] };
  yield* writePolicy(resource, policy);
  const bindingDeltas = deltas(current?.bindings ?? [], bindings);
  const configs = { before: current?.auditConfigs ?? [], after: policy.auditConfigs };
  const auditConfigs =
    JSON.stringify(configs.before) === JSON.stringify(configs.after) ? {} : { auditConfigs: configs };
  yield* recordChange(input.actor, resource, { policyDelta: { bindingDeltas, ...auditConfigs } }, input.now);
  return policy;
});

const concurrentChange =
  "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff.";
const conditionsWouldBeLost =
  "The policy has conditions: read it with requestedPolicyVersion 3 and set it with version 3, or they would be lost.";
/** The etag that a resource is read with on which no policy was ever set. */
export const noPolicyEtag = "ACAB";

export function nobodyLeft(role: string): ApiError {
  const what = role === "roles/owner" ? "the project without an owner" : "the organization without an administrator";
  return new ApiError(
    "FAILED_PRECONDITION",
    `The policy leaves ${what}: ${role} must have a member that exists and is not disabled, without a condition.`,
  );
}

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
