import { z } from "zod";
import { ApiError } from "../../http/api-error.ts";
import { allAuthenticatedUsers, allUsers, formatMember, type Member, parseMember } from "../../names/members.ts";
import { compileCondition, type Condition } from "./conditions.ts";
import { ExpressionError } from "./expressions.ts";
import { type AuditConfig, basicRoles, type Binding } from "./policy.ts";

/** Bindings of one policy, and members in all of them together. */
export const maxBindings = 1500;
export const maxMembers = 10_000;
/** Bindings of one policy that hang on conditions. [IAM, "Quotas and limits"] */
export const maxConditional = 100;

const conditionShape = z.strictObject({
  expression: z.string(),
  title: z.string().min(1).max(100),
  description: z.string().max(256).optional(),
  location: z.string().max(256).optional(),
});

const auditConfigShape = z.strictObject({
  service: z.string().min(1).max(100),
  auditLogConfigs: z
    .array(
      z.strictObject({
        logType: z.enum(["ADMIN_READ", "DATA_READ", "DATA_WRITE"]),
        exemptedMembers: z.array(z.string()).max(1000).optional(),
      }),
    )
    .max(10),
  exemptedMembers: z.array(z.string()).optional(),
});

/** A policy as it comes in. [IAM, "Policy"] */
export const policyShape = z.strictObject({
  version: z.int().optional(),
  etag: z.string().max(100).optional(),
  bindings: z
    .array(
      z.strictObject({
        role: z.string().min(1).max(200),
        members: z.array(z.string()).default([]),
        condition: conditionShape.optional(),
      }),
    )
    .max(maxBindings)
    .default([]),
  auditConfigs: z.array(auditConfigShape).max(100).optional(),
  // What Cloud Storage puts there.
  kind: z.string().optional(),
  resourceId: z.string().optional(),
});

export type PolicyInput = z.infer<typeof policyShape>;

/** What a policy may say on the kind of resource that it is for. */
export interface PolicyRules {
  /** Whether everybody may be a member, and a project's owners, editors and viewers as such. */
  allowsPublic: boolean;
  /** Whether a role of this name may be given on the resource. */
  isGrantable(role: string): Promise<boolean>;
  /** Whether somebody of this name is known. */
  exists(member: Member): Promise<boolean>;
}

/** A policy that may be set: each binding once, members in one spelling. @throws ApiError INVALID_ARGUMENT */
export async function checkPolicy(
  input: PolicyInput,
  rules: PolicyRules,
): Promise<{ bindings: Binding[]; auditConfigs: AuditConfig[] | undefined }> {
  const version = input.version ?? 0;
  if (![0, 1, 3].includes(version)) throw invalid(`policy.version: ${version} is not 0, 1 or 3`);
  const merged = new Map<string, Binding>();
  for (const [i, binding] of input.bindings.entries()) {
    const place = `policy.bindings[${i}]`;
    const { role, condition } = binding;
    if (condition !== undefined && version !== 3) {
      throw invalid(`${place}.condition: a policy with conditions has version 3, not ${version}`);
    }
    if (!(await rules.isGrantable(role))) throw invalid(`${place}.role: ${role} is not supported for this resource`);
    const members = await checkMembers(binding.members, rules, place);
    if (condition !== undefined) await checkCondition(condition, role, members, place);
    if (members.length === 0) continue;
    const key = JSON.stringify([role, condition?.expression, condition?.title, condition?.description]);
    const known = merged.get(key);
    const all = [...new Set([...(known?.members ?? []), ...members])];
    merged.set(key, condition === undefined ? { role, members: all } : { role, members: all, condition });
  }
  const bindings = [...merged.values()];
  const total = bindings.reduce((sum, { members }) => sum + members.length, 0);
  const conditional = bindings.filter(({ condition }) => condition !== undefined).length;
  if (conditional > maxConditional) {
    throw invalid(
      `policy.bindings: ${conditional} have conditions; of a policy's bindings at most ${maxConditional} do`,
    );
  }
  if (total > maxMembers) throw invalid(`policy.bindings: ${total} members; a policy has at most ${maxMembers}`);
  return {
    bindings,
    auditConfigs: input.auditConfigs?.map((config, i) => checkAuditConfig(config, `policy.auditConfigs[${i}]`)),
  };
}

async function checkMembers(members: string[], rules: PolicyRules, place: string): Promise<Member[]> {
  const checked: Member[] = [];
  for (const text of members) {
    const parsed = parseMember(text);
    if (parsed === undefined) {
      throw invalid(
        `${place}.members: "${text.slice(0, 200)}" is no member; one is written user:EMAIL, serviceAccount:EMAIL, group:EMAIL, domain:DOMAIN, …`,
      );
    }
    const member = formatMember(parsed);
    const isForBuckets = parsed.kind in basicRoles || member === allUsers || member === allAuthenticatedUsers;
    if (isForBuckets && !rules.allowsPublic)
      throw invalid(`${place}.members: ${member} is not supported for this resource`);
    if (parsed.deletedUid === undefined && !(await rules.exists(member))) {
      throw invalid(`${place}.members: ${member} does not exist`);
    }
    checked.push(member);
  }
  return checked;
}

/** [IAM, "Overview of IAM Conditions", limitations] */
async function checkCondition(condition: Condition, role: string, members: Member[], place: string): Promise<void> {
  if (Object.values(basicRoles).includes(role as never))
    throw invalid(`${place}.condition: ${role} takes no condition`);
  const everybody = members.find((member) => member === allUsers || member === allAuthenticatedUsers);
  if (everybody !== undefined) throw invalid(`${place}.condition: a binding of ${everybody} takes no condition`);
  try {
    await compileCondition(condition);
  } catch (error) {
    if (error instanceof ExpressionError) throw invalid(`${place}.condition.expression: ${error.message}`);
    throw error;
  }
}

/** @throws ApiError INVALID_ARGUMENT */
function checkAuditConfig({ service, auditLogConfigs }: z.infer<typeof auditConfigShape>, place: string): AuditConfig {
  return {
    service,
    auditLogConfigs: auditLogConfigs.map(({ logType, exemptedMembers }) => ({
      logType,
      ...(exemptedMembers === undefined
        ? {}
        : { exemptedMembers: exemptedMembers.map((text) => exempted(text, place)) }),
    })),
  };
}

function exempted(text: string, place: string): Member {
  const parsed = parseMember(text);
  if (parsed !== undefined) return formatMember(parsed);
  throw invalid(`${place}.exemptedMembers: "${text.slice(0, 200)}" is no member; one is written user:EMAIL, …`);
}

function invalid(message: string): ApiError {
  return new ApiError("INVALID_ARGUMENT", `${message}.`);
}
