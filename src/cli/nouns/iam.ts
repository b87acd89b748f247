import { CommandFailure, UsageError } from "../command.ts";
import { readJsonFile } from "../json-file.ts";
import type { Flag, Input, Noun, Result } from "../noun.ts";
import { type Condition, type Grant, type Policy, withGrant, withoutGrant } from "../policy.ts";
import { policyTarget, targetFlags } from "../policy-target.ts";
import { readModifyWrite } from "../read-modify-write.ts";
import { doneResult, listResult } from "../results.ts";
import type { ServerClient } from "../server-client.ts";
import { recoverVerb } from "./iam-recover.ts";

const grantFlags: readonly Flag[] = [
  {
    name: "member",
    placeholder: "MEMBER",
    doc: "`user:EMAIL`, `serviceAccount:EMAIL`, `group:EMAIL`, `domain:DOMAIN`, …",
    isRequired: true,
  },
  { name: "role", placeholder: "ROLE", doc: "Such as `roles/storage.objectViewer`.", isRequired: true },
  { name: "condition-title", placeholder: "TITLE", doc: "What the condition is called; with an expression." },
  { name: "condition-expression", placeholder: "CEL", doc: "What has to hold for the role to count." },
  { name: "condition-description", placeholder: "TEXT", doc: "What the condition is for." },
];

export const iamNoun: Noun = {
  name: "iam",
  summary: "policies: who may do what with projects, buckets, service accounts, the organization",
  verbs: [
    {
      name: "get-policy",
      summary: "Shows who has which roles.",
      flags: targetFlags,
      async run(input, server) {
        return policyResult(await (await policyTarget(input, server)).read());
      },
    },
    {
      name: "add-binding",
      summary: "Gives a member a role.",
      flags: [...grantFlags, ...targetFlags],
      async run(input, server) {
        const grant = readGrant(input);
        const change = await changePolicy(input, server, (policy) => withGrant(policy, grant));
        const { member, role } = grant;
        const { name, policy, isDone } = change;
        return doneResult(
          isDone ? `gave ${member} ${role} on ${name}` : `${member} has ${role} on ${name} already`,
          policy,
        );
      },
    },
    {
      name: "remove-binding",
      summary: "Takes a role from a member: the one without a condition, or the one whose condition is given.",
      flags: [...grantFlags, { name: "all", doc: "On whichever condition the member has the role." }, ...targetFlags],
      async run(input, server) {
        const grant = readGrant(input);
        const condition = input.has("all") ? "any" : grant.condition;
        const change = await changePolicy(input, server, (policy) => withoutGrant(policy, { ...grant, condition }));
        if (!change.isDone) {
          const isOther = withoutGrant(change.policy, { ...grant, condition: "any" }) !== undefined;
          const hint = isOther ? " on these terms: give the condition it has, or --all" : "";
          throw new CommandFailure(`${grant.member} does not have ${grant.role} on ${change.name}${hint}`);
        }
        return doneResult(`took ${grant.role} on ${change.name} from ${grant.member}`, change.policy);
      },
    },
    {
      name: "set-policy",
      summary:
        "Puts a policy in the place of the one that is there. With the `etag` of the one that was read, it is refused if somebody changed it in between.",
      operands: ["FILE"],
      flags: targetFlags,
      async run(input, server) {
        const [file = ""] = input.operands;
        const target = await policyTarget(input, server);
        return policyResult(await target.write(readJsonFile(file) as Policy));
      },
    },
    {
      name: "test-permissions",
      summary: "Tells which permissions you have.",
      operands: ["PERMISSION…"],
      flags: targetFlags,
      async run(input, server) {
        const target = await policyTarget(input, server);
        const held = new Set(await target.test(input.operands));
        const rows = [...new Set(input.operands)].map((permission) => ({ permission, held: held.has(permission) }));
        return listResult(rows, [
          ["PERMISSION", ({ permission }) => permission],
          ["HELD", (row) => (row.held ? "yes" : "no")],
        ]);
      },
    },
    recoverVerb,
  ],
};

/** @throws UsageError for half a condition */
function readGrant({ text }: Input): Grant {
  const [title, expression] = [text("condition-title"), text("condition-expression")];
  const description = text("condition-description");
  const member = text("member") as string;
  const role = text("role") as string;
  if (title === undefined && expression === undefined && description === undefined) {
    return { member, role, condition: undefined };
  }
  if (title === undefined || expression === undefined) {
    throw new UsageError("a condition has --condition-title and --condition-expression");
  }
  const condition: Condition = { title, expression, ...(description !== undefined && { description }) };
  return { member, role, condition };
}

/** @param edit answers the new policy, or `undefined` where there is nothing to change */
async function changePolicy(input: Input, server: ServerClient, edit: (policy: Policy) => Policy | undefined) {
  const target = await policyTarget(input, server);
  return readModifyWrite(async () => {
    const policy = await target.read();
    const edited = edit(policy);
    const { name } = target;
    return edited === undefined
      ? { name, policy, isDone: false }
      : { name, policy: await target.write(edited), isDone: true };
  });
}

/** A line for each member that has a role. */
function policyResult(policy: Policy): Result {
  const rows = (policy.bindings ?? []).flatMap(({ role, members, condition }) =>
    members.map((member) => ({ role, member, condition })),
  );
  const list = listResult(rows, [
    ["ROLE", ({ role }) => role],
    ["MEMBER", ({ member }) => member],
    ["CONDITION", ({ condition }) => condition && `${condition.title}: ${condition.expression}`],
  ]);
  return list === undefined ? undefined : { ...list, json: policy };
}
