import { OrganizationsClient, ProjectsClient, protos } from "@google-cloud/resource-manager";
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { GoogleAuth } from "google-auth-library";
import { makeAccount } from "../harness/accounts.ts";
import { type Berth, startBerth } from "../harness/berth.ts";

setDefaultTimeout(60_000);

const { State } = protos.google.cloud.resourcemanager.v3.Project;
let berth: Berth;
let projects: ProjectsClient;
let organizations: OrganizationsClient;

beforeAll(async () => {
  berth = await startBerth();
  const options = {
    fallback: true,
    protocol: "http",
    apiEndpoint: "127.0.0.1",
    port: berth.port,
    auth: new GoogleAuth({ credentials: JSON.parse(berth.key) as object }),
  };
  // The library asks Google alone for tokens; with this the key signs them itself.
  Object.assign(options.auth, { useJWTAccessWithScope: true });
  projects = new ProjectsClient(options as never);
  organizations = new OrganizationsClient(options as never);
});

afterAll(async () => {
  await projects.close();
  await organizations.close();
  await berth.stop();
});

test("@google-cloud/resource-manager makes, finds, changes, deletes and brings back a project", async () => {
  const [making] = await projects.createProject({ project: { projectId: "made-by-library", displayName: "Made" } });
  const [made] = await making.promise();
  expect(made).toMatchObject({ projectId: "made-by-library", displayName: "Made" });
  const name = "projects/made-by-library";
  const [found] = await projects.getProject({ name });
  expect(found.displayName).toBe("Made");
  const [all] = await projects.searchProjects({ query: "displayName:Made" });
  expect(all.map(({ projectId }) => projectId)).toEqual(["made-by-library"]);
  const project = { name, displayName: "Renamed", labels: { team: "a" } };
  const [changing] = await projects.updateProject({ project, updateMask: { paths: ["display_name", "labels"] } });
  const [changed] = await changing.promise();
  expect(changed).toMatchObject({ displayName: "Renamed", labels: { team: "a" } });
  const [deleting] = await projects.deleteProject({ name });
  const [deleted] = await deleting.promise();
  expect(deleted.state).toBe(State.DELETE_REQUESTED);
  const [restoring] = await projects.undeleteProject({ name });
  const [restored] = await restoring.promise();
  expect(restored.state).toBe(State.ACTIVE);
});

test("its policies have etags and versions", async () => {
  const robot = await makeAccount(berth, "robot");
  const resource = "projects/my-project";
  const [policy] = await projects.getIamPolicy({ resource, options: { requestedPolicyVersion: 3 } });
  const condition = { title: "soon", expression: 'request.time < timestamp("2099-01-01T00:00:00Z")' };
  const binding = { role: "roles/storage.objectViewer", members: [`serviceAccount:${robot.email}`], condition };
  const [set] = await projects.setIamPolicy({
    resource,
    policy: { ...policy, version: 3, bindings: [...(policy.bindings ?? []), binding] },
  });
  expect(set.bindings?.some((each) => each.condition?.title === "soon")).toBe(true);
  // What was read before is not good for another change.
  const stale = await projects.setIamPolicy({ resource, policy }).catch((error: Error) => error.message);
  expect(stale).toContain("concurrent policy changes");
  const [tested] = await projects.testIamPermissions({
    resource,
    permissions: ["resourcemanager.projects.delete", "storage.objects.get"],
  });
  expect(tested.permissions).toEqual(["resourcemanager.projects.delete"]);
});

test("it finds the organisation", async () => {
  const [found] = await organizations.searchOrganizations({});
  expect(found).toHaveLength(1);
  const [same] = await organizations.getOrganization({ name: found[0]?.name as string });
  expect(same.name).toBe(found[0]?.name as string);
});
