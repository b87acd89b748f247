import { accountPath } from "./account-path.ts";
import type { Flag, Input } from "./noun.ts";
import { organizationFlag, organizationId } from "./organization.ts";
import type { Policy } from "./policy.ts";
import { apiPath, type ServerClient } from "./server-client.ts";

/** A resource that has a policy. */
export interface PolicyTarget {
  /** As it is told: `the project my-project`. */
  name: string;
  read(): Promise<Policy>;
  write(policy: Policy): Promise<Policy>;
  /** Which of the permissions the caller has. */
  test(permissions: readonly string[]): Promise<string[]>;
}

const flags: readonly Flag[] = [
  { name: "project", placeholder: "PROJECT", doc: "Of a project." },
  {
    name: "bucket",
    placeholder: "BUCKET",
    doc: "Of the bucket of a registry, such as `artifacts.PROJECT.appspot.com`.",
  },
  { name: "service-account", placeholder: "ACCOUNT", doc: "Of a service account, by its address." },
  { ...organizationFlag, doc: "Of the organization; without an id, of the server's only one." },
];

export const targetFlags = flags.map((flag): Flag => ({ ...flag, alternative: "required" }));

const version = 3;

/** The resource that one of `targetFlags` names. */
export async function policyTarget(input: Input, server: ServerClient): Promise<PolicyTarget> {
  const flag = targetFlags.find(({ name }) => input.has(name)) as Flag;
  const value = input.text(flag.name) ?? "";
  if (flag.name === "bucket") return bucketTarget(value, server);
  if (flag.name === "project") return target(`the project ${value}`, apiPath`/v3/projects/${value}`, server);
  if (flag.name === "service-account") {
    return target(`the service account ${value}`, accountPath(value, input, server), server);
  }
  const id = await organizationId(server, value);
  return target(`the organization ${id}`, apiPath`/v3/organizations/${id}`, server);
}

/** [IAM, google.iam.v1.IAMPolicy] */
function target(name: string, path: string, server: ServerClient): PolicyTarget {
  return {
    name,
    read: () => server.post(`${path}:getIamPolicy`, { options: { requestedPolicyVersion: version } }),
    write: (policy) => server.post(`${path}:setIamPolicy`, { policy }),
    async test(permissions) {
      const reply = await server.post<{ permissions?: string[] }>(`${path}:testIamPermissions`, { permissions });
      return reply.permissions ?? [];
    },
  };
}

/** [Cloud Storage JSON API v1, buckets.getIamPolicy] */
function bucketTarget(bucket: string, server: ServerClient): PolicyTarget {
  const path = apiPath`/storage/v1/b/${bucket}/iam`;
  return {
    name: `the bucket ${bucket}`,
    read: () => server.get(path, { optionsRequestedPolicyVersion: String(version) }),
    write: (policy) => server.put(path, policy),
    async test(permissions) {
      const reply = await server.get<{ permissions?: string[] }>(`${path}/testPermissions`, { permissions });
      return reply.permissions ?? [];
    },
  };
}
