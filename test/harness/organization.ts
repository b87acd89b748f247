import type { Berth } from "./berth.ts";
import { mustCall } from "./federation.ts";
import { adminEmail } from "./tenants.ts";

/** The server's organisation, `organizations/ID`, on which its owner gets a role besides. */
export async function withOrganizationRole(berth: Berth, role: string): Promise<string> {
  const found = await mustCall<{ organizations: { name: string }[] }>(berth, "POST", "/v1/organizations:search", {});
  const name = found.organizations[0]?.name as string;
  const policy = await mustCall<{ bindings: object[] }>(berth, "POST", `/v1/${name}:getIamPolicy`, {});
  const bindings = [...policy.bindings, { role, members: [`serviceAccount:${adminEmail}`] }];
  await mustCall(berth, "POST", `/v1/${name}:setIamPolicy`, { policy: { ...policy, bindings } });
  return name;
}
