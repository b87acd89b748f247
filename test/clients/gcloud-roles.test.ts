import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { type Berth, startBerth } from "../harness/berth.ts";
import { type Gcloud, inPairs, openGcloud } from "../harness/gcloud.ts";
import { withOrganizationRole } from "../harness/organization.ts";
import { makeScratch } from "../harness/scratch.ts";
import { describeInstalled } from "../harness/suites.ts";
import { adminEmail } from "../harness/tenants.ts";

setDefaultTimeout(60_000);

interface Role {
  name: string;
  title: string;
  includedPermissions?: string[];
  deleted?: boolean;
}

describeInstalled(["gcloud"], "gcloud's roles and services", () => {
  const scratch = makeScratch();
  let berth: Berth;
  let gcloud: Gcloud;

  beforeAll(async () => {
    berth = await startBerth();
    gcloud = await openGcloud(berth, scratch);
  });

  afterAll(async () => {
    await berth.stop();
    await scratch.remove();
  });

  const roles = (...args: string[]): string[] => ["iam", "roles", ...args];
  const own = "--project=my-project";
  const resource = "//cloudresourcemanager.googleapis.com/projects/my-project";

  test("predefined roles have Google's permissions", async () => {
    const [all, viewer] = await inPairs<unknown>(
      () => gcloud.text(...roles("list", "--format=value(name)")),
      () => gcloud.json(...roles("describe", "roles/storage.objectViewer")),
    );
    expect((all as string).split("\n").length).toBeGreaterThan(50);
    expect(viewer).toMatchObject({ title: "Storage Object Viewer" });
    expect((viewer as Role).includedPermissions).toEqual(
      expect.arrayContaining(["storage.objects.get", "storage.objects.list"]),
    );
    const [grantable, testable] = await inPairs(
      () => gcloud.text("iam", "list-grantable-roles", resource, "--format=value(name)"),
      () => gcloud.text("iam", "list-testable-permissions", resource, "--format=value(name)"),
    );
    expect(grantable?.split("\n")).toContain("roles/storage.admin");
    expect(testable?.split("\n")).toContain("storage.objects.get");
  });

  test("custom roles: create, update, copy, delete, undelete", async () => {
    const permissions = "storage.objects.get,storage.objects.list";
    await gcloud.text(...roles("create", "puller", own, "--title=Puller", `--permissions=${permissions}`));
    const name = "projects/my-project/roles/puller";
    const updated = await gcloud.json<Role>(...roles("update", "puller", own, "--add-permissions=storage.buckets.get"));
    expect(updated).toMatchObject({ name, title: "Puller" });
    expect(updated.includedPermissions?.toSorted()).toEqual(["storage.buckets.get", ...permissions.split(",")]);
    await gcloud.text(
      ...roles(
        "copy",
        "--source=puller",
        "--source-project=my-project",
        "--destination=copied",
        "--dest-project=my-project",
      ),
    );
    expect((await gcloud.text(...roles("list", own, "--format=value(name)"))).split("\n")).toEqual([
      "projects/my-project/roles/copied",
      name,
    ]);
    await gcloud.text(...roles("delete", "puller", own));
    expect((await gcloud.json<Role>(...roles("describe", "puller", own))).deleted).toBe(true);
    await gcloud.text(...roles("undelete", "puller", own));
    const bound = await gcloud.text(
      "projects",
      "add-iam-policy-binding",
      "my-project",
      `--member=serviceAccount:${adminEmail}`,
      `--role=${name}`,
    );
    expect(bound).toContain(name);
    const wrong = await gcloud.attempt(roles("create", "wrong", own, "--permissions=storage.objects.fly"));
    expect([wrong.code, wrong.output]).toEqual([1, expect.stringContaining("storage.objects.fly")]);
  });

  test("roles of the organisation", async () => {
    const organization = (await withOrganizationRole(berth, "roles/iam.organizationRoleAdmin")).split("/")[1] as string;
    const on = `--organization=${organization}`;
    await gcloud.text(...roles("create", "watcher", on, "--permissions=storage.buckets.list"));
    expect(await gcloud.text(...roles("list", on, "--format=value(name)"))).toBe(
      `organizations/${organization}/roles/watcher`,
    );
    const [listed, policy] = await inPairs<unknown>(
      () => gcloud.text("organizations", "list", "--format=value(name.basename())"),
      () => gcloud.json("organizations", "get-iam-policy", organization),
    );
    expect(listed).toBe(organization);
    expect(JSON.stringify(policy)).toContain("roles/iam.organizationRoleAdmin");
    const binding = [`--member=serviceAccount:${adminEmail}`, "--role=roles/browser"];
    await gcloud.text("organizations", "add-iam-policy-binding", organization, ...binding);
    await gcloud.text("organizations", "remove-iam-policy-binding", organization, ...binding);
    expect(JSON.stringify(await gcloud.json("organizations", "get-iam-policy", organization))).not.toContain(
      "roles/browser",
    );
  });

  test("services: without Container Registry's nothing is pulled", async () => {
    const enabled = async (): Promise<string[]> =>
      (await gcloud.text("services", "list", "--enabled", "--format=value(config.name)")).split("\n");
    expect(await enabled()).toContain("containerregistry.googleapis.com");
    await gcloud.text("services", "disable", "containerregistry.googleapis.com");
    expect(await enabled()).not.toContain("containerregistry.googleapis.com");
    const pull = await berth.fetch("/v2/my-project/app/tags/list");
    expect([pull.status, await pull.text()]).toEqual([
      403,
      expect.stringContaining("Please enable Google Container Registry API"),
    ]);
    await gcloud.text("services", "enable", "containerregistry.googleapis.com");
    expect((await berth.fetch("/v2/my-project/app/tags/list")).status).toBe(404);
  });
});
