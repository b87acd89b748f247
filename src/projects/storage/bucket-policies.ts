import type { Access } from "../../access/access-control.ts";
import { type ApiCall, type ApiRoute, apiRoute, requireGrant } from "../../access/api-route.ts";
import { actorOf } from "../../access/audit/audit-log.ts";
import { policyShape } from "../../access/iam/policy-input.ts";
import { changePolicy, currentPolicy, type PolicyTarget, testPermissions } from "../../access/iam/policy-routes.ts";
import { viewPolicy } from "../../access/iam/policy-view.ts";
import { bucketResource } from "../../names/resources.ts";
import { bucketNeeds, requireBucket, service, type StorageRooms } from "./buckets.ts";

/** Who may use a bucket. [Cloud Storage JSON API v1, buckets.getIamPolicy] */
export function bucketPolicyRoutes(rooms: StorageRooms): ApiRoute[] {
  const on = bucketNeeds(rooms);
  const path = "/storage/v1/b/{bucket}/iam";
  const target = async (call: ApiCall): Promise<PolicyTarget> => {
    const [{ resource, project }] = (await on("storage.buckets.getIamPolicy")(call)) as [Access];
    const organization = await rooms.projects.organization();
    return { resource, project, roleParents: [`projects/${project}`, `organizations/${organization}`] };
  };
  const view = (policy: object, bucket: string): object => ({
    kind: "storage#policy",
    resourceId: `projects/_/buckets/${bucket}`,
    ...policy,
  });
  return [
    apiRoute({
      id: "storage.getIamPermissions",
      service,
      method: "GET",
      path,
      needs: on("storage.buckets.getIamPolicy"),
      async handle(call) {
        const { bucket } = await requireBucket(rooms, call);
        const policy = await currentPolicy(rooms.database, bucketResource(bucket));
        const version = Number(call.query.get("optionsRequestedPolicyVersion") ?? 1);
        return view(viewPolicy(policy, version), bucket);
      },
    }),
    apiRoute({
      id: "storage.setIamPermissions",
      service,
      method: "PUT",
      path,
      body: policyShape,
      needs: on("storage.buckets.setIamPolicy"),
      async handle(call, grant) {
        const { bucket } = await requireBucket(rooms, call);
        const policy = await changePolicy(
          { allowsPublic: true, keepsRole: undefined },
          rooms,
          await target(call),
          call.body,
          { takesBindings: true, takesAuditConfigs: false, actor: actorOf(requireGrant(grant)), now: call.now },
        );
        return view(viewPolicy(policy, 3), bucket);
      },
    }),
    apiRoute({
      id: "storage.testIamPermissions",
      service,
      method: "GET",
      path: `${path}/testPermissions`,
      needs: () => "nobody",
      async handle(call) {
        const permissions = await testPermissions(
          rooms.access,
          call,
          await target(call),
          call.query.getAll("permissions"),
        );
        return { kind: "storage#testIamPermissionsResponse", ...(permissions.length > 0 && { permissions }) };
      },
    }),
  ];
}
