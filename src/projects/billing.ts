import { type ApiRoute, apiRoute } from "../access/api-route.ts";
import { projectNeeds, requireProject, type ResourceManagerRooms } from "./project-access.ts";

/**
 * That a project has no bill: Terraform's provider asks with every project that it reads.
 * [Cloud Billing API v1, projects.getBillingInfo]
 */
export function billingRoutes(rooms: Pick<ResourceManagerRooms, "projects">): ApiRoute[] {
  return [
    apiRoute({
      id: "google.cloud.billing.v1.CloudBilling.GetProjectBillingInfo",
      service: "cloudbilling.googleapis.com",
      method: "GET",
      path: "/v1/projects/{project}/billingInfo",
      needs: projectNeeds(rooms)("resourcemanager.projects.get"),
      async handle(call) {
        const { id } = await requireProject(rooms, call);
        return { name: `projects/${id}/billingInfo`, projectId: id, billingAccountName: "", billingEnabled: false };
      },
    }),
  ];
}
