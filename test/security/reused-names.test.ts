import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import { type Account, makeAccount } from "../harness/accounts.ts";
import { type Berth, startBerth, until } from "../harness/berth.ts";
import { basic, callerOf } from "../harness/caller.ts";
import { pushImage } from "../harness/content.ts";
import { callApi, mustCall } from "../harness/federation.ts";
import { openMetadata } from "../harness/metadata.ts";

// A name that is given a second time is somebody else's: of what the first had nothing comes with it.

setDefaultTimeout(60_000);

const bucket = "artifacts.my-project.appspot.com";
let berth: Berth;

beforeAll(async () => {
  berth = await startBerth();
  await mustCall(berth, "POST", "/storage/v1/b?project=my-project", { name: bucket });
});

afterAll(async () => {
  await berth.stop();
  rmSync(berth.data, { recursive: true, force: true });
});

interface Policy {
  etag: string;
  bindings: { role: string; members: string[] }[];
}

const call = <T>(method: string, path: string, body?: object): Promise<T> =>
  mustCall<T>(berth, method, path, ...(body === undefined ? [] : [body]));
const policyOf = (project: string): Promise<Policy> =>
  call("POST", `/v1/projects/${project}:getIamPolicy`, { options: { requestedPolicyVersion: 3 } });
const membersOf = ({ bindings }: Policy, role: string): string[] =>
  bindings.filter((binding) => binding.role === role).flatMap(({ members }) => members);

async function give(project: string, role: string, member: string): Promise<void> {
  const policy = await policyOf(project);
  const bindings = [...policy.bindings, { role, members: [member] }];
  await call("POST", `/v1/projects/${project}:setIamPolicy`, { policy: { ...policy, bindings } });
}

async function giveOnBucket(role: string, member: string): Promise<void> {
  const path = `/storage/v1/b/${bucket}/iam`;
  const policy = await call<Policy>("GET", path);
  await call("PUT", path, { ...policy, bindings: [...policy.bindings, { role, members: [member] }] });
}

const status = async ({ key }: Account, path: string): Promise<number> => {
  const reply = await fetch(berth.url + path, { headers: { authorization: basic(key) } });
  await reply.arrayBuffer();
  return reply.status;
};

/** The thirty days after a project's deletion go by while the server is down. */
async function purge(project: string): Promise<void> {
  const { data } = berth;
  await call("DELETE", `/v1/projects/${project}`);
  await berth.terminate();
  const database = openMetadata(data);
  database.run("UPDATE projects SET delete_requested_at = ? WHERE id = ?", [Date.now() - 31 * 86_400_000, project]);
  database.close();
  berth = await startBerth({ data });
  await until(async () => ((await callApi(berth, "GET", `/v1/projects/${project}`)).status === 403 ? true : undefined));
}

test("a project's name: its accounts, its viewers elsewhere, its audit log", async () => {
  await call("POST", "/v1/projects", { projectId: "phoenix" });
  const first = await makeAccount(berth, "ghost", "phoenix");
  const member = `serviceAccount:${first.email}`;
  await give("my-project", "roles/viewer", member);
  await giveOnBucket("roles/storage.objectViewer", "projectViewer:phoenix");
  await call("POST", "/berth/v1/groups", { email: "team@example.com" });
  await call("POST", "/berth/v1/groups/team@example.com:addMember", { member });
  expect(await status(first, "/v1/projects/my-project")).toBe(200);
  await pushImage(callerOf(berth), "phoenix/app", "phoenix", "v1", "v2");
  await callerOf(berth).send("POST", "/v2/phoenix/app/blobs/uploads/");

  await purge("phoenix");
  const renamed = membersOf(await policyOf("my-project"), "roles/viewer");
  expect(renamed).toEqual([expect.stringMatching(/^deleted:serviceAccount:ghost@phoenix\.iam\.[a-z.]+\?uid=\d{21}$/)]);
  const onBucket = await call<Policy>("GET", `/storage/v1/b/${bucket}/iam`);
  expect(JSON.stringify(onBucket)).not.toContain("phoenix");

  await call("POST", "/v1/projects", { projectId: "phoenix" });
  const second = await makeAccount(berth, "ghost", "phoenix");
  expect(second.email).toBe(first.email);
  await give("phoenix", "roles/viewer", `serviceAccount:${second.email}`);
  expect(await status(second, "/v1/projects/phoenix")).toBe(200);
  expect(await status(first, "/v1/projects/phoenix")).toBe(401);
  expect(await status(second, "/v1/projects/my-project")).toBe(403);
  expect(await status(second, `/storage/v1/b/${bucket}/o`)).toBe(403);
  const { members } = await call<{ members?: object[] }>("GET", "/berth/v1/groups/team@example.com/members");
  expect(members ?? []).toEqual([]);

  const methodsIn = async (resource: string): Promise<string[]> => {
    const asked = { resourceNames: [resource], pageSize: 1000 };
    const { entries } = await call<{ entries: { protoPayload: { methodName: string } }[] }>(
      "POST",
      "/v2/entries:list",
      asked,
    );
    return entries.map(({ protoPayload }) => protoPayload.methodName);
  };
  expect(await methodsIn("projects/phoenix")).not.toContain("google.cloud.resourcemanager.v1.Projects.DeleteProject");
  const { organizations } = await call<{ organizations: { name: string }[] }>("POST", "/v1/organizations:search", {});
  const organization = organizations[0]?.name as string;
  const policy = await call<Policy>("POST", `/v1/${organization}:getIamPolicy`, {});
  const mine = {
    role: "roles/logging.privateLogViewer",
    members: ["serviceAccount:owner@my-project.iam.gserviceaccount.com"],
  };
  await call("POST", `/v1/${organization}:setIamPolicy`, {
    policy: { ...policy, bindings: [...policy.bindings, mine] },
  });
  const all = await methodsIn(organization);
  expect(all).toContain("google.cloud.resourcemanager.v1.Projects.DeleteProject");
  expect(all).toContain("berth.projects.Purge");
});

test("a service account's name: the roles of the first stay with the deleted one", async () => {
  const first = await makeAccount(berth, "robot");
  await give("my-project", "roles/viewer", `serviceAccount:${first.email}`);
  await call("DELETE", `/v1/projects/my-project/serviceAccounts/${first.email}`);
  const second = await makeAccount(berth, "robot");
  expect([await status(first, "/v1/projects/my-project"), await status(second, "/v1/projects/my-project")]).toEqual([
    401, 403,
  ]);
});

test("nobody is deleted who alone owns a project", async () => {
  await call("POST", "/v1/projects", { projectId: "lonely" });
  const owner = await makeAccount(berth, "sole-owner");
  const group = "owners@example.com";
  const path = `/v1/projects/my-project/serviceAccounts/${owner.email}`;
  const ownedBy = async (member: string): Promise<void> => {
    const policy = await policyOf("lonely");
    const bindings = [{ role: "roles/owner", members: [member] }];
    // The organisation's administrator may, whoever owns the project.
    await call("POST", "/v1/projects/lonely:setIamPolicy", { policy: { ...policy, bindings } });
  };
  await call("POST", "/berth/v1/groups", { email: group });
  await call("POST", "/berth/v1/users", { email: "ann@example.com" });
  // Nobody else would do: somebody never heard of, a group that is empty.
  for (const member of ["user:ghost@nowhere.example", `group:${group}`]) {
    await expect(ownedBy(member)).rejects.toThrow("a member that exists");
  }
  await call("POST", `/berth/v1/groups/${group}:addMember`, { member: "user:ann@example.com" });
  for (const [member, where] of [
    [`serviceAccount:${owner.email}`, path],
    [`group:${group}`, `/berth/v1/groups/${group}`],
    ["user:ann@example.com", "/berth/v1/users/ann@example.com"],
  ] as const) {
    await ownedBy(member);
    const refused = await callApi(berth, "DELETE", where);
    expect(refused).toMatchObject({
      status: 400,
      body: {
        error: { status: "FAILED_PRECONDITION", message: expect.stringContaining(`${member} is the only owner`) },
      },
    });
    // Nothing was done.
    expect(membersOf(await policyOf("lonely"), "roles/owner")).toEqual([member]);
    expect((await callApi(berth, "GET", where)).status).toBe(200);
  }
  await ownedBy("serviceAccount:owner@my-project.iam.gserviceaccount.com");
  expect((await callApi(berth, "DELETE", path)).status).toBe(200);
});

test("nobody keeps another's account alive by making it the only owner of a project of their own", async () => {
  await call("POST", "/v1/projects", { projectId: "blocker-project" });
  await call("POST", "/v1/projects", { projectId: "victim-project" });
  const blocker = await makeAccount(berth, "blocker", "blocker-project");
  const admin = await makeAccount(berth, "admin", "victim-project");
  const victim = await makeAccount(berth, "victim", "victim-project");
  await give("victim-project", "roles/iam.serviceAccountAdmin", `serviceAccount:${admin.email}`);
  const policy = await policyOf("blocker-project");
  const bindings = [
    { role: "roles/owner", members: [`serviceAccount:${victim.email}`] },
    { role: "roles/resourcemanager.projectIamAdmin", members: [`serviceAccount:${blocker.email}`] },
  ];
  await call("POST", "/v1/projects/blocker-project:setIamPolicy", { policy: { ...policy, bindings } });
  const path = `/v1/projects/victim-project/serviceAccounts/${victim.email}`;
  const reply = await fetch(berth.url + path, { method: "DELETE", headers: { authorization: basic(admin.key) } });
  expect([reply.status, await reply.text()]).toEqual([200, "{}"]);
});

test("a policy's mask says what of it is set", async () => {
  const path = "/v1/projects/my-project";
  const before = await policyOf("my-project");
  const auditConfigs = [{ service: "allServices", auditLogConfigs: [{ logType: "DATA_READ" }] }];
  const set = (policy: object, updateMask: string) =>
    callApi(berth, "POST", `${path}:setIamPolicy`, { policy, updateMask });
  expect((await set({ auditConfigs }, "auditConfigs")).status).toBe(200);
  const after = await policyOf("my-project");
  expect(after).toMatchObject({ bindings: before.bindings, auditConfigs });
  expect((await set({ bindings: before.bindings }, "bindings,etag")).status).toBe(200);
  expect(await policyOf("my-project")).toMatchObject({ auditConfigs });
  expect((await set({ auditConfigs: [] }, "audit_configs")).status).toBe(200);
  expect(await policyOf("my-project")).not.toHaveProperty("auditConfigs");
  expect((await set({}, "owners")).status).toBe(400);
});

test("of two who write the first policy of a resource one is told that the other was there", async () => {
  const account = await makeAccount(berth, "unwritten");
  const path = `/v1/projects/my-project/serviceAccounts/${account.email}`;
  const { etag } = await call<Policy>("POST", `${path}:getIamPolicy`, {});
  const policy = { etag, bindings: [{ role: "roles/viewer", members: [`serviceAccount:${account.email}`] }] };
  const replies = await Promise.all([1, 2, 3].map(() => callApi(berth, "POST", `${path}:setIamPolicy`, { policy })));
  expect(replies.map(({ status: each }) => each).sort()).toEqual([200, 409, 409]);
});

test("the organization keeps an administrator", async () => {
  const { organizations } = await call<{ organizations: { name: string }[] }>("POST", "/v1/organizations:search", {});
  const refused = await callApi(berth, "POST", `/v1/${organizations[0]?.name}:setIamPolicy`, { policy: {} });
  expect(refused).toMatchObject({ status: 400, body: { error: { status: "FAILED_PRECONDITION" } } });
});

test("a service agent's address is nobody's to take", async () => {
  const taken = await callApi(berth, "POST", "/v1/projects", { projectId: "containerregistry" });
  expect(taken).toMatchObject({ status: 400, body: { error: { message: expect.stringContaining("reserved") } } });
  expect((await callApi(berth, "POST", "/v3/projects", { projectId: "gcp-sa-anything" })).status).toBe(400);
});

test("an editor of the project makes no keys of who administers the server", async () => {
  const editor = await makeAccount(berth, "editor");
  await give("my-project", "roles/editor", `serviceAccount:${editor.email}`);
  const make = (email: string): Promise<Response> =>
    fetch(`${berth.url}/v1/projects/my-project/serviceAccounts/${email}/keys`, {
      method: "POST",
      headers: { authorization: basic(editor.key), "content-type": "application/json" },
      body: "{}",
    });
  expect((await make("owner@my-project.iam.gserviceaccount.com")).status).toBe(403);
  expect((await make(editor.email)).status).toBe(200);
});

test("a role that is disabled permits nothing", async () => {
  const account = await makeAccount(berth, "reader");
  const role = "projects/my-project/roles/reader";
  const includedPermissions = ["resourcemanager.projects.get"];
  await call("POST", "/v1/projects/my-project/roles", { roleId: "reader", role: { includedPermissions } });
  await give("my-project", role, `serviceAccount:${account.email}`);
  expect(await status(account, "/v1/projects/my-project")).toBe(200);
  await call("PATCH", `/v1/${role}?updateMask=stage`, { stage: "DISABLED" });
  expect(await status(account, "/v1/projects/my-project")).toBe(403);
  await call("PATCH", `/v1/${role}?updateMask=stage`, { stage: "GA" });
  expect(await status(account, "/v1/projects/my-project")).toBe(200);
});
