import { type Principal, serviceAccountPrincipal } from "../names/principals.ts";

/** The role that the agent has in its project, without which it can do nothing. */
export const agentRole = "roles/containerregistry.ServiceAgent";

const agentAddress = /^service-(\d{1,20})@containerregistry\.iam\.gserviceaccount\.com$/;

/** The number of the project whose service agent has this address; `undefined` for every other account's. */
export function projectOfAgent(email: string): string | undefined {
  return agentAddress.exec(email)?.[1];
}

/**
 * A project's Container Registry service agent: under its identity the registry does its own work. Nobody holds a
 * key of it. [Container Registry, "Service account"]
 */
export function serviceAgent(projectNumber: string): Principal {
  return serviceAccountPrincipal(`service-${projectNumber}@containerregistry.iam.gserviceaccount.com`);
}
