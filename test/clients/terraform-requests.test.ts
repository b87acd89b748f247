import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { type Berth, startBerth } from "../harness/berth.ts";
import { basic, callerOf } from "../harness/caller.ts";
import { callApi, mustCall } from "../harness/federation.ts";

// The requests of Terraform's Google provider, resource by resource, as its sources make them, with the fields of the
// replies that it reads: the provider itself cannot be had where these tests run.
// [hashicorp/terraform-provider-google, google/services/{resourcemanager,storage,containeranalysis}]

setDefaultTimeout(30_000);

let berth: Berth;

beforeAll(async () => {
  berth = await startBerth();
});

afterAll(() => berth.stop());

const call = <T = Record<string, unknown>>(method: string, path: string, body?: object): Promise<T> => {
  const at = `${path}${path.includes("?") ? "&" : "?"}alt=json&prettyPrint=false`;
  return mustCall<T>(berth, method, at, ...(body === undefined ? [] : [body]));
};

interface Operation {
  name: string;
  done?: boolean;
}

interface Policy {
  etag: string;
  version: number;
  bindings: { role: string; members: string[]; condition?: object }[];
}

const project = "from-terraform";

test("google_project: create, wait, read, update, delete", async () => {
  const search = await call<{ organizations: { name: string }[] }>("POST", "/v1/organizations:search", {});
  const parent = { type: "organization", id: search.organizations[0]?.name.split("/")[1] };
  const made = await call<Operation>("POST", "/v1/projects", {
    projectId: project,
    name: "Made",
    parent,
    labels: { by: "tf" },
  });
  const waited = await call<Operation>("GET", `/v1/${made.name}`);
  expect(waited.done).toBe(true);
  const read = await call("GET", `/v1/projects/${project}`);
  expect(read).toMatchObject({
    projectId: project,
    name: "Made",
    lifecycleState: "ACTIVE",
    parent,
    labels: { by: "tf" },
  });
  // A Go program reads it as a number out of a text.
  expect(read.projectNumber).toMatch(/^\d+$/);
  expect(await call("GET", `/v1/projects/${project}/billingInfo`)).toMatchObject({ billingAccountName: "" });
  const updated = await call("PUT", `/v1/projects/${project}`, { ...read, name: "Renamed" });
  expect(updated).toMatchObject({ name: "Renamed", labels: { by: "tf" } });
  const missing = await callApi(berth, "GET", "/v1/projects/not-there-at-all");
  expect(missing.status).toBe(403);
});

test("google_project_service: enabled services are listed, and enabled in batches", async () => {
  const enabled = async (): Promise<string[]> => {
    const query = "fields=services%2Fname%2CnextPageToken&filter=state%3AENABLED";
    const { services } = await call<{ services: { name: string }[] }>(
      "GET",
      `/v1/projects/${project}/services?${query}`,
    );
    return services.map(({ name }) => name.split("/").at(-1) as string);
  };
  const disable = { disableDependentServices: false };
  const off = await call<Operation>("POST", `/v1/projects/${project}/services/pubsub.googleapis.com:disable`, disable);
  expect(off.done).toBe(true);
  expect(await enabled()).not.toContain("pubsub.googleapis.com");
  const batch = { serviceIds: ["pubsub.googleapis.com", "storage.googleapis.com"] };
  expect((await call<Operation>("POST", `/v1/projects/${project}/services:batchEnable`, batch)).done).toBe(true);
  expect(await enabled()).toContain("pubsub.googleapis.com");
});

const email = `robot@${project}.iam.gserviceaccount.com`;
const account = `/v1/projects/${project}/serviceAccounts/${email}`;

test("google_service_account and google_service_account_key", async () => {
  const accounts = `/v1/projects/${project}/serviceAccounts`;
  const body = { accountId: "robot", serviceAccount: { displayName: "Robot", description: "" } };
  const made = await call("POST", accounts, body);
  expect(made).toMatchObject({ name: `projects/${project}/serviceAccounts/${email}`, email, displayName: "Robot" });
  const read = await call("GET", account);
  expect(read).toMatchObject({ uniqueId: expect.stringMatching(/^\d+$/) as string, projectId: project });
  const change = {
    updateMask: "description,display_name",
    serviceAccount: { displayName: "R", description: "D", etag: read.etag },
  };
  expect(await call("PATCH", account, change)).toMatchObject({ displayName: "R", description: "D" });
  const wanted = { keyAlgorithm: "KEY_ALG_RSA_2048", privateKeyType: "TYPE_GOOGLE_CREDENTIALS_FILE" };
  const key = await call<{ name: string; privateKeyData: string }>("POST", `${account}/keys`, wanted);
  const file = JSON.parse(Buffer.from(key.privateKeyData, "base64").toString("utf8")) as Record<string, string>;
  expect(file).toMatchObject({ client_email: email, type: "service_account" });
  const seen = await call("GET", `/v1/${key.name}?publicKeyType=TYPE_X509_PEM_FILE`);
  expect(seen).toMatchObject({ name: key.name, validAfterTime: expect.any(String) as string });
  await call("DELETE", `/v1/${key.name}`);
  expect((await callApi(berth, "GET", `/v1/${key.name}?publicKeyType=TYPE_X509_PEM_FILE`)).status).toBe(404);
});

test("google_service_account_iam_member", async () => {
  const policy = await call<Policy>("POST", `${account}:getIamPolicy?options.requestedPolicyVersion=3`);
  const binding = { role: "roles/iam.serviceAccountUser", members: [`serviceAccount:${email}`] };
  await call("POST", `${account}:setIamPolicy`, { policy: { ...policy, version: 3, bindings: [binding] } });
  const after = await call<Policy>("POST", `${account}:getIamPolicy?options.requestedPolicyVersion=3`);
  expect(after.bindings).toEqual([binding]);
});

test("google_project_iam_custom_role: looked for, made, changed, deleted, brought back", async () => {
  const roles = `/v1/projects/${project}/roles`;
  expect((await callApi(berth, "GET", `${roles}/puller`)).status).toBe(404);
  const role = { title: "Puller", description: "Pulls", stage: "GA", includedPermissions: ["storage.objects.get"] };
  await call("POST", roles, { roleId: "puller", role });
  const changed = { ...role, includedPermissions: ["storage.objects.get", "storage.objects.list"] };
  expect(await call("PATCH", `${roles}/puller`, changed)).toMatchObject(changed);
  await call("DELETE", `${roles}/puller`);
  expect(await call("GET", `${roles}/puller`)).toMatchObject({ deleted: true });
  await call("POST", `${roles}/puller:undelete`, {});
  expect(await call("GET", `${roles}/puller`)).not.toHaveProperty("deleted");
});

test("google_project_iam_member and google_project_iam_audit_config", async () => {
  const read = (): Promise<Policy & { auditConfigs?: object[] }> =>
    call("POST", `/v1/projects/${project}:getIamPolicy`, { options: { requestedPolicyVersion: 3 } });
  const write = (policy: object): Promise<unknown> =>
    call("POST", `/v1/projects/${project}:setIamPolicy`, { policy, updateMask: "bindings,etag,auditConfigs" });
  const before = await read();
  const condition = { title: "soon", description: "", expression: 'request.time < timestamp("2099-01-01T00:00:00Z")' };
  const binding = { role: `projects/${project}/roles/puller`, members: [`serviceAccount:${email}`], condition };
  const auditConfigs = [{ service: "allServices", auditLogConfigs: [{ logType: "DATA_READ" }] }];
  await write({ ...before, version: 3, bindings: [...before.bindings, binding], auditConfigs });
  const after = await read();
  expect(after.auditConfigs).toEqual(auditConfigs);
  expect(after.bindings.find(({ role }) => role === binding.role)).toMatchObject({ condition: { title: "soon" } });
  // The provider takes a conflict for a reason to read and write again.
  const stale = { policy: { ...before, version: 3 }, updateMask: "bindings,etag,auditConfigs" };
  expect((await callApi(berth, "POST", `/v1/projects/${project}:setIamPolicy`, stale)).status).toBe(409);
  await write({ ...after, bindings: before.bindings, auditConfigs: [] });
});

test("google_container_registry, and google_storage_bucket_iam_member on its bucket", async () => {
  // The handshake for a push makes the bucket; its reply is not looked at.
  const registry = callerOf(berth, { host: "eu.gcr.io", authorization: basic(berth.key) });
  const scope = `service=gcr.io&scope=repository:${project}/my-repo:push,pull`;
  expect((await registry.send("GET", `/v2/token?${scope}`)).status).toBe(200);
  const bucket = `/storage/v1/b/eu.artifacts.${project}.appspot.com`;
  expect(await call("GET", bucket)).toMatchObject({ selfLink: expect.stringContaining(bucket) as string });
  const policy = await call<Policy>("GET", `${bucket}/iam?optionsRequestedPolicyVersion=3`);
  const binding = { role: "roles/storage.objectViewer", members: ["allUsers"] };
  await call("PUT", `${bucket}/iam`, { ...policy, version: 3, bindings: [...policy.bindings, binding] });
  const after = await call<Policy>("GET", `${bucket}/iam?optionsRequestedPolicyVersion=3`);
  expect(after.bindings).toContainEqual(binding);
});

test("and all of it is destroyed", async () => {
  await call("DELETE", account);
  await call("DELETE", `/v1/projects/${project}`);
  // What reads a project that is being deleted takes it for gone.
  expect(await call("GET", `/v1/projects/${project}`)).toMatchObject({ lifecycleState: "DELETE_REQUESTED" });
});
