import { bucket, id, makeProject, read, type Scene } from "./route-scene.ts";

/** What is sent beside the path's own variables. */
export interface Sent {
  /** In place of those that `makeVariables` makes. */
  variables?: Record<string, string>;
  query?: string;
  body?: object | URLSearchParams | string;
}

/** The statuses in the order of `callers`, and how the route is called where there is more to it than its path. */
export type Row =
  string | { expect: string; call: (scene: Scene, variables: Record<string, string>) => Sent | Promise<Sent> };

const body = (expect: string, sent: Sent["body"]): Row => ({ expect, call: () => ({ body: sent as object }) });
const query = (expect: string, text: string): Row => ({ expect, call: () => ({ query: `?${text}` }) });
const samePolicy = (expect: string, path: (scene: Scene) => string): Row => ({
  expect,
  call: async (scene) => ({ body: { policy: await read(scene, "POST", `${path(scene)}:getIamPolicy`) } }),
});
const onProject = (expect: string, state: "active" | "deleted", sent: object = {}): Row => ({
  expect,
  call: async (scene) => ({ variables: { project: await makeProject(scene, state) }, body: sent }),
});

/** Anybody, for what is not secret or asks for a credential of its own kind. */
const everybody = "200 200 200 200 200 200";
const malformed = "400 400 400 400 400 400";
const signedIn = "401 200 200 200 200 200";
/** On the organisation none of the callers has a role. */
const organizationOnly = "401 403 403 403 403 403";
const viewers = "401 403 200 200 200 403";
const editors = "401 403 403 200 200 403";
const owners = "401 403 403 403 200 403";

const permissions = { permissions: ["storage.objects.get"] };
const form = (fields: Record<string, string>): URLSearchParams => new URLSearchParams(fields);
const account = "/v1/projects/{project}/serviceAccounts/{account}";
const pools = "/v1/projects/{project}/locations/global/workloadIdentityPools";
const providerBody = {
  attributeMapping: { "google.subject": "assertion.sub" },
  oidc: { issuerUri: "https://issuer.example.com" },
};
const certificate = {
  publicKeyData: "",
};

/** Every route of the program: who may, and who may not. */
export const table: Record<string, Row> = {
  // OAuth 2.0, discovery, sign-in
  "GET /.well-known/openid-configuration": everybody,
  "GET /oauth2/v3/certs": everybody,
  "POST /token": body(malformed, form({ grant_type: "none" })),
  "POST /oauth2/v4/token": body(malformed, form({ grant_type: "none" })),
  "POST /o/oauth2/token": body(malformed, form({ grant_type: "none" })),
  "POST /revoke": body(malformed, form({ token: "none" })),
  "GET /tokeninfo": malformed,
  "POST /tokeninfo": body(malformed, form({ access_token: "none" })),
  "GET /o/oauth2/auth": malformed,
  "POST /o/oauth2/auth": body(malformed, form({})),
  "GET /o/oauth2/v2/auth": malformed,
  "POST /o/oauth2/v2/auth": body(malformed, form({})),
  "GET /signin/{provider}": malformed,
  "GET /signin/{provider}/callback": malformed,
  "POST /v1/token": body(malformed, form({ grant_type: "none" })),
  "POST /v1/introspect": body(everybody, form({ token: "none" })),

  // The registry beside its repositories, probes
  "GET /v2/": signedIn,
  "HEAD /v2/": signedIn,
  "GET /v2/token": query("401 200 200 200 200 200", "scope=repository:my-project/app:pull"),
  "POST /v2/token": body("401 200 200 200 200 200", form({ grant_type: "none" })),
  "GET /v2/_catalog": signedIn,
  "HEAD /v2/_catalog": signedIn,
  "GET /healthz": everybody,
  "GET /readyz": everybody,
  "GET /metrics": everybody,

  // Berth's own
  "GET /berth/v1/me": signedIn,
  "POST /berth/v1/me:changePassword": body("401 400 400 400 400 400", { oldPassword: "x", newPassword: "y" }),
  "GET /berth/v1/users": organizationOnly,
  "POST /berth/v1/users": { expect: organizationOnly, call: () => ({ body: { email: `${id()}@example.com` } }) },
  "GET /berth/v1/users/{email}": organizationOnly,
  "PATCH /berth/v1/users/{email}": body(organizationOnly, { disabled: true }),
  "DELETE /berth/v1/users/{email}": organizationOnly,
  "POST /berth/v1/users/{email}:setPassword": body(organizationOnly, {}),
  "GET /berth/v1/groups": organizationOnly,
  "POST /berth/v1/groups": { expect: organizationOnly, call: () => ({ body: { email: `${id()}@example.com` } }) },
  "GET /berth/v1/groups/{email}": organizationOnly,
  "PATCH /berth/v1/groups/{email}": body(organizationOnly, { displayName: "x" }),
  "DELETE /berth/v1/groups/{email}": organizationOnly,
  "GET /berth/v1/groups/{email}/members": organizationOnly,
  "POST /berth/v1/groups/{email}:addMember": body(organizationOnly, { member: "user:a@example.com" }),
  "POST /berth/v1/groups/{email}:removeMember": body(organizationOnly, { member: "user:a@example.com" }),
  "GET /berth/v1/projects/{project}/notificationTargets": viewers,
  "GET /berth/v1/audit:export": query(viewers, "resource=projects/my-project"),
  "POST /v2/entries:list": body(viewers, { resourceNames: ["projects/my-project"] }),

  // Resource Manager
  "GET /v1/projects": signedIn,
  "GET /v3/projects": {
    expect: signedIn,
    call: ({ organization }) => ({ query: `?parent=organizations/${organization}` }),
  },
  "GET /v3/projects:search": signedIn,
  "POST /v1/projects": { expect: organizationOnly, call: () => ({ body: { projectId: `p-${id()}` } }) },
  "POST /v3/projects": { expect: organizationOnly, call: () => ({ body: { projectId: `p-${id()}` } }) },
  "GET /v1/projects/{project}": viewers,
  "GET /v3/projects/{project}": viewers,
  "PUT /v1/projects/{project}": body(editors, { name: "Renamed" }),
  "PATCH /v3/projects/{project}": body(editors, { displayName: "Renamed" }),
  "DELETE /v1/projects/{project}": onProject(owners, "active"),
  "DELETE /v3/projects/{project}": onProject(owners, "active"),
  "POST /v1/projects/{project}:undelete": onProject(owners, "deleted"),
  "POST /v3/projects/{project}:undelete": onProject(owners, "deleted"),
  "POST /v1/projects/{project}:getAncestry": viewers,
  "POST /v1/projects/{project}:getIamPolicy": viewers,
  "POST /v3/projects/{project}:getIamPolicy": viewers,
  "POST /v1/projects/{project}:setIamPolicy": samePolicy(owners, () => "/v1/projects/my-project"),
  "POST /v3/projects/{project}:setIamPolicy": samePolicy(owners, () => "/v1/projects/my-project"),
  "POST /v1/projects/{project}:testIamPermissions": body(everybody, permissions),
  "POST /v3/projects/{project}:testIamPermissions": body(everybody, permissions),
  "GET /v1/projects/{project}/billingInfo": viewers,
  "GET /v1/projects/{project}:searchAllResources": viewers,
  "GET /v1/operations/{operation}": organizationOnly,
  "GET /v3/operations/{operation}": organizationOnly,
  "POST /v1/organizations:search": body(signedIn, {}),
  "GET /v3/organizations:search": signedIn,
  "GET /v1/organizations/{organization}": organizationOnly,
  "GET /v3/organizations/{organization}": organizationOnly,
  "GET /v1/organizations/{organization}:searchAllResources": organizationOnly,
  "POST /v1/organizations/{organization}:getIamPolicy": organizationOnly,
  "POST /v3/organizations/{organization}:getIamPolicy": organizationOnly,
  "POST /v1/organizations/{organization}:setIamPolicy": samePolicy(
    organizationOnly,
    ({ organization }) => `/v1/organizations/${organization}`,
  ),
  "POST /v3/organizations/{organization}:setIamPolicy": samePolicy(
    organizationOnly,
    ({ organization }) => `/v1/organizations/${organization}`,
  ),
  "POST /v1/organizations/{organization}:testIamPermissions": body(everybody, permissions),
  "POST /v3/organizations/{organization}:testIamPermissions": body(everybody, permissions),

  // Service Usage
  "GET /v1/projects/{project}/services": viewers,
  "GET /v1/projects/{project}/services/{service}": viewers,
  "POST /v1/projects/{project}/services/{service}:enable": editors,
  "POST /v1/projects/{project}/services/{service}:disable": editors,
  "POST /v1/projects/{project}/services:batchEnable": body(editors, { serviceIds: ["pubsub.googleapis.com"] }),

  // IAM: roles
  "GET /v1/roles": signedIn,
  "GET /v1/roles/{role}": signedIn,
  "POST /v1/roles:queryGrantableRoles": body(signedIn, {
    fullResourceName: "//cloudresourcemanager.googleapis.com/projects/my-project",
  }),
  "POST /v1/permissions:queryTestablePermissions": body(signedIn, {
    fullResourceName: "//cloudresourcemanager.googleapis.com/projects/my-project",
  }),
  "GET /v1/projects/{parent}/roles": viewers,
  "GET /v1/projects/{parent}/roles/{role}": viewers,
  "POST /v1/projects/{parent}/roles": { expect: owners, call: () => ({ body: { roleId: id(), role: {} } }) },
  "PATCH /v1/projects/{parent}/roles/{role}": body(owners, { title: "changed" }),
  "DELETE /v1/projects/{parent}/roles/{role}": owners,
  "POST /v1/projects/{parent}/roles/{role}:undelete": owners,
  "GET /v1/organizations/{parent}/roles": organizationOnly,
  "GET /v1/organizations/{parent}/roles/{role}": organizationOnly,
  "POST /v1/organizations/{parent}/roles": {
    expect: organizationOnly,
    call: () => ({ body: { roleId: id(), role: {} } }),
  },
  "PATCH /v1/organizations/{parent}/roles/{role}": body(organizationOnly, { title: "changed" }),
  "DELETE /v1/organizations/{parent}/roles/{role}": organizationOnly,
  "POST /v1/organizations/{parent}/roles/{role}:undelete": organizationOnly,

  // IAM: service accounts and keys
  "GET /v1/projects/{project}/serviceAccounts": viewers,
  "POST /v1/projects/{project}/serviceAccounts": { expect: editors, call: () => ({ body: { accountId: id() } }) },
  [`GET ${account}`]: viewers,
  [`PATCH ${account}`]: body(editors, { serviceAccount: { displayName: "x" } }),
  [`PUT ${account}`]: body(editors, { displayName: "x" }),
  [`DELETE ${account}`]: editors,
  [`POST ${account}:undelete`]: owners,
  [`POST ${account}:enable`]: editors,
  [`POST ${account}:disable`]: editors,
  [`POST ${account}:getIamPolicy`]: viewers,
  [`POST ${account}:setIamPolicy`]: body(owners, { policy: { bindings: [] } }),
  [`POST ${account}:testIamPermissions`]: body(everybody, { permissions: ["iam.serviceAccounts.actAs"] }),
  [`GET ${account}/keys`]: viewers,
  [`GET ${account}/keys/{key}`]: viewers,
  [`POST ${account}/keys`]: body(editors, {}),
  // Who may is told that it is no certificate.
  [`POST ${account}/keys:upload`]: body("401 403 403 400 400 403", certificate),
  [`POST ${account}/keys/{key}:enable`]: editors,
  [`POST ${account}/keys/{key}:disable`]: editors,
  [`DELETE ${account}/keys/{key}`]: editors,
  // An owner may not by being one: the scene gives ours roles/iam.serviceAccountTokenCreator too.
  [`POST ${account}:generateAccessToken`]: body(owners, { scope: ["https://www.googleapis.com/auth/cloud-platform"] }),
  [`POST ${account}:generateIdToken`]: body(owners, { audience: "x" }),
  [`POST ${account}:signBlob`]: body(owners, { payload: "eA==" }),
  [`POST ${account}:signJwt`]: body(owners, { payload: "{}" }),

  // IAM: workload identity federation
  [`GET ${pools}`]: viewers,
  [`POST ${pools}`]: { expect: owners, call: () => ({ query: `?workloadIdentityPoolId=${id()}`, body: {} }) },
  [`GET ${pools}/{pool}:listAttestationRules`]: viewers,
  [`GET ${pools}/{pool}`]: viewers,
  [`PATCH ${pools}/{pool}`]: body(owners, { displayName: "x" }),
  [`DELETE ${pools}/{pool}`]: owners,
  [`POST ${pools}/{pool}:undelete`]: owners,
  [`GET ${pools}/{pool}/operations/{operation}`]: viewers,
  [`GET ${pools}/{pool}/providers`]: viewers,
  [`POST ${pools}/{pool}/providers`]: {
    expect: owners,
    call: () => ({ query: `?workloadIdentityPoolProviderId=${id()}`, body: providerBody }),
  },
  [`GET ${pools}/{pool}/providers/{provider}`]: viewers,
  [`PATCH ${pools}/{pool}/providers/{provider}`]: body(owners, { displayName: "x" }),
  [`DELETE ${pools}/{pool}/providers/{provider}`]: owners,
  [`POST ${pools}/{pool}/providers/{provider}:undelete`]: owners,
  [`GET ${pools}/{pool}/providers/{provider}/operations/{operation}`]: viewers,

  // Cloud Storage
  "GET /storage/v1/b": query(viewers, "project=my-project"),
  "POST /storage/v1/b": {
    // It exists: who may make buckets is told so.
    expect: "401 403 403 409 409 403",
    call: () => ({ query: "?project=my-project", body: { name: bucket } }),
  },
  "GET /storage/v1/b/{bucket}": viewers,
  "PATCH /storage/v1/b/{bucket}": body(editors, {}),
  "PUT /storage/v1/b/{bucket}": body(editors, {}),
  "GET /storage/v1/b/{bucket}/iam": editors,
  "PUT /storage/v1/b/{bucket}/iam": {
    expect: editors,
    call: async (scene) => ({ body: await read(scene, "GET", `/storage/v1/b/${bucket}/iam`) }),
  },
  "GET /storage/v1/b/{bucket}/iam/testPermissions": query(everybody, "permissions=storage.objects.get"),
  "GET /storage/v1/b/{bucket}/o": viewers,
  "GET /storage/v1/b/{bucket}/o/{object=**}": viewers,
  "GET /download/storage/v1/b/{bucket}/o/{object=**}": viewers,

  // The registry
  "GET /v2/{name}/tags/list": viewers,
  "GET /v2/{name}/manifests/{reference}": viewers,
  "HEAD /v2/{name}/manifests/{reference}": viewers,
  "PUT /v2/{name}/manifests/{reference}": body("401 403 403 400 400 403", "{}"),
  "DELETE /v2/{name}/manifests/{reference}": "401 403 403 202 202 403",
  "GET /v2/{name}/blobs/{digest}": viewers,
  "HEAD /v2/{name}/blobs/{digest}": viewers,
  "DELETE /v2/{name}/blobs/{digest}": "401 403 403 202 202 403",
  "POST /v2/{name}/blobs/uploads/": "401 403 403 202 202 403",
  "GET /v2/{name}/blobs/uploads/{upload}": "401 403 403 404 404 403",
  "PATCH /v2/{name}/blobs/uploads/{upload}": "401 403 403 404 404 403",
  // Who may is told that the digest is missing, the others that the upload is not theirs.
  "PUT /v2/{name}/blobs/uploads/{upload}": "401 403 403 400 400 403",
  "DELETE /v2/{name}/blobs/uploads/{upload}": "401 403 403 404 404 403",
  "GET /v2/{name}/referrers/{digest}": viewers,
};
