import type { ApiRoute } from "../access/api-route.ts";
import type { Access } from "../access/access-control.ts";
import { policyRoutes, type PolicyRooms } from "../access/iam/policy-routes.ts";
import { accountNeeds, type AccountRooms, requireFound } from "./account-needs.ts";

/** Who may use a service account: its own policy. [IAM API v1, projects.serviceAccounts.getIamPolicy] */
export function accountPolicyRoutes(
  rooms: AccountRooms & PolicyRooms,
  organization: () => string | Promise<string>,
): ApiRoute[] {
  return policyRoutes(
    {
      service: "iam.googleapis.com",
      idPrefix: "google.iam.admin.v1.",
      path: "/v1/projects/{project}/serviceAccounts/{account}",
      get: { permission: "iam.serviceAccounts.getIamPolicy", methods: ["POST"] },
      set: "iam.serviceAccounts.setIamPolicy",
      allowsPublic: false,
      keepsRole: undefined,
      async target(call) {
        const [{ resource, project }] = (await accountNeeds(rooms)("iam.serviceAccounts.getIamPolicy")(call)) as [
          Access,
        ];
        return { resource, project, roleParents: [`projects/${project}`, `organizations/${await organization()}`] };
      },
      requireExists: async (call) => void (await requireFound(rooms, call)),
    },
    rooms,
  );
}
