import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { type Account, makeAccount } from "../harness/accounts.ts";
import { type Berth, startBerth } from "../harness/berth.ts";
import { basic } from "../harness/caller.ts";
import { type Gcloud, type GcloudProxy, inPairs, openGcloud, startGcloudProxy } from "../harness/gcloud.ts";
import { pushBlob, pushManifest } from "../harness/registry.ts";
import { makeScratch } from "../harness/scratch.ts";
import { describeInstalled } from "../harness/suites.ts";

setDefaultTimeout(60_000);

interface Policy {
  etag: string;
  bindings: { role: string; members: string[]; condition?: { title: string } }[];
}

const name = "artifacts.my-project.appspot.com";
const url = `gs://${name}`;
const repository = "my-project/app";

describeInstalled(["gcloud"], "gcloud storage and gsutil on a registry's bucket", () => {
  const scratch = makeScratch();
  let berth: Berth;
  let proxy: GcloudProxy;
  let gcloud: Gcloud;
  let robot: Account;

  beforeAll(async () => {
    berth = await startBerth();
    proxy = await startGcloudProxy(berth, scratch);
    gcloud = await openGcloud(berth, scratch, { proxy });
    robot = await makeAccount(berth, "robot");
    const config = await pushBlob(berth, repository, "{}", "application/vnd.oci.empty.v1+json");
    const mediaType = "application/vnd.oci.image.manifest.v1+json";
    await pushManifest(berth, repository, { mediaType, config, layers: [] }, "v1");
  });

  afterAll(async () => {
    await proxy.stop();
    await berth.stop();
    await scratch.remove();
  });

  const buckets = (...args: string[]): string[] => ["storage", "buckets", ...args];
  const gsutil = async (...args: string[]): Promise<string> => {
    const { code, stdout, output } = await gcloud.program(["gsutil", ...args]);
    if (code !== 0) throw new Error(output);
    return stdout;
  };
  const pull = async (authorization?: string): Promise<number> => {
    const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
    return (await fetch(`${berth.url}/v2/${repository}/manifests/v1`, { headers })).status;
  };
  const member = (): string => `serviceAccount:${robot.email}`;
  const viewer = "roles/storage.objectViewer";

  test("list, describe, uniform access", async () => {
    const [listed, described] = await inPairs<unknown>(
      () => gcloud.text(...buckets("list", "--format=value(name)")),
      () => gcloud.json(...buckets("describe", url)),
    );
    expect(listed).toBe(name);
    expect(described).toMatchObject({ name, location: "US", uniform_bucket_level_access: true });
    await gcloud.text(...buckets("update", url, "--uniform-bucket-level-access"));
    const off = await gcloud.attempt(buckets("update", url, "--no-uniform-bucket-level-access"));
    expect([off.code, off.output]).toEqual([1, expect.stringContaining("uniform access")]);
  });

  test("a binding lets an account pull, and its removal ends that", async () => {
    const binding = [url, `--member=${member()}`, `--role=${viewer}`];
    expect(await pull(basic(robot.key))).toBe(403);
    await gcloud.text(...buckets("add-iam-policy-binding", ...binding));
    expect(await pull(basic(robot.key))).toBe(200);
    await gcloud.text(...buckets("remove-iam-policy-binding", ...binding));
    expect(await pull(basic(robot.key))).toBe(403);
  });

  test("a condition limits it to a repository", async () => {
    const expression = `resource.name.startsWith("projects/_/buckets/${name}/objects/my-project/other")`;
    const file = join(scratch.directory("condition"), "condition.json");
    await Bun.write(file, JSON.stringify({ title: "other", expression }));
    const binding = [url, `--member=${member()}`, `--role=${viewer}`];
    await gcloud.text(...buckets("add-iam-policy-binding", ...binding, `--condition-from-file=${file}`));
    expect(await pull(basic(robot.key))).toBe(403);
    const policy = await gcloud.json<Policy>(...buckets("get-iam-policy", url));
    expect(policy.bindings.find(({ role }) => role === viewer)?.condition?.title).toBe("other");
    await gcloud.text(...buckets("remove-iam-policy-binding", ...binding, "--all"));
  });

  test("a policy is written as a whole; a stale one is refused", async () => {
    const before = await gcloud.json<Policy>(...buckets("get-iam-policy", url));
    const file = join(scratch.directory("policy"), "policy.json");
    await Bun.write(
      file,
      JSON.stringify({ ...before, bindings: [...before.bindings, { role: viewer, members: [member()] }] }),
    );
    await gcloud.text(...buckets("set-iam-policy", url, file));
    expect(await pull(basic(robot.key))).toBe(200);
    const stale = await gcloud.attempt(buckets("set-iam-policy", url, file));
    expect([stale.code, stale.output]).toEqual([1, expect.stringMatching(/concurrent|precondition|conflict|409|412/i)]);
  });

  test("gsutil ls, ls -L -b, iam get, ch and set", async () => {
    expect((await gsutil("ls")).trim()).toBe(`${url}/`);
    expect(await gsutil("ls", "-L", "-b", url)).toContain("Bucket Policy Only enabled:\tTrue");
    await gsutil("iam", "ch", "-d", member(), url);
    expect(await pull(basic(robot.key))).toBe(403);
    expect(await pull()).toBe(401);
    await gsutil("iam", "ch", "allUsers:objectViewer", url);
    expect(await pull()).toBe(200);
    const policy = JSON.parse(await gsutil("iam", "get", url)) as Policy;
    expect(policy.bindings).toContainEqual({ role: viewer, members: ["allUsers"] });
    const file = join(scratch.directory("policy"), "policy.json");
    const bindings = policy.bindings.filter(({ role }) => role !== viewer);
    await Bun.write(file, JSON.stringify({ ...policy, bindings }));
    await gsutil("iam", "set", file, url);
    expect(await pull()).toBe(401);
  });

  test("gsutil by gcloud's own storage commands, over plain HTTP", async () => {
    const plain = await openGcloud(berth, scratch);
    const boto = join(scratch.directory("boto"), "boto");
    await Bun.write(boto, "[GSUtil]\nuse_gcloud_storage = True\n");
    const { code, stdout } = await plain.program(["gsutil", "ls", "-b", url], { env: { BOTO_CONFIG: boto } });
    expect([code, stdout.trim()]).toEqual([0, `${url}/`]);
  });

  test("gsutil by its own settings, over HTTPS", async () => {
    const secure = await startBerth({ tls: true });
    try {
      await secure.fetch("/storage/v1/b?project=my-project", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ name }),
      });
      const there = await openGcloud(secure, scratch);
      const boto = join(scratch.directory("boto"), "boto");
      const host = `[Credentials]\ngs_json_host = localhost\ngs_json_port = ${secure.port}\n`;
      const tokens = `[OAuth2]\nprovider_token_uri = ${secure.url}/token\n`;
      await Bun.write(boto, `${host}${tokens}[Boto]\nnum_retries = 0\n`);
      const { code, stdout, output } = await there.program(["gsutil", "iam", "get", url], {
        env: { BOTO_CONFIG: boto },
      });
      expect([code, output]).toEqual([0, expect.stringContaining("legacyBucketOwner")]);
      expect((JSON.parse(stdout) as Policy).bindings.length).toBe(4);
    } finally {
      await secure.stop();
    }
  });

  test("gsutil lists and reads what is in it", async () => {
    const library = `${url}/containers/repositories/library/app`;
    expect((await gsutil("ls", `${library}/tag_*`)).trim()).toBe(`${library}/tag_v1`);
    expect(JSON.parse(await gsutil("cat", `${library}/tag_v1`))).toMatchObject({ schemaVersion: 2 });
  });
});
