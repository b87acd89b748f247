import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { type Berth, startBerth } from "../harness/berth.ts";
import { type Gcloud, inPairs, openGcloud } from "../harness/gcloud.ts";
import { makeScratch } from "../harness/scratch.ts";
import { describeInstalled } from "../harness/suites.ts";
import { adminEmail } from "../harness/tenants.ts";
import { run } from "../harness/tools.ts";

setDefaultTimeout(60_000);

interface Account {
  email: string;
  displayName: string;
  description: string;
  disabled?: boolean;
  uniqueId: string;
}

interface Key {
  name: string;
  disabled?: boolean;
  keyOrigin: string;
}

describeInstalled(["gcloud", "openssl"], "gcloud iam service-accounts", () => {
  const scratch = makeScratch();
  const email = "robot@my-project.iam.gserviceaccount.com";
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

  const accounts = (...args: string[]): string[] => ["iam", "service-accounts", ...args];
  const idOf = (name: string): string => name.split("/").at(-1) as string;

  test("create, describe, list, update", async () => {
    await gcloud.text(...accounts("create", "robot", "--display-name=Robot", "--description=Builds"));
    const again = await gcloud.attempt(accounts("create", "robot"));
    expect([again.code, again.output]).toEqual([1, expect.stringContaining("already exists")]);
    const described = await gcloud.json<Account>(...accounts("describe", email));
    expect(described).toMatchObject({ email, displayName: "Robot", description: "Builds", projectId: "my-project" });
    const [updated, listed] = await inPairs<unknown>(
      () => gcloud.json(...accounts("update", email, "--display-name=Builder")),
      () => gcloud.text(...accounts("list", "--format=value(email)")),
    );
    expect(updated).toMatchObject({ displayName: "Builder", description: "Builds" });
    expect((listed as string).split("\n")).toEqual(expect.arrayContaining([adminEmail, email]));
  });

  test("disable, enable, delete, undelete", async () => {
    const { uniqueId } = await gcloud.json<Account>(...accounts("describe", email));
    await gcloud.text(...accounts("disable", email));
    expect((await gcloud.json<Account>(...accounts("describe", uniqueId))).disabled).toBe(true);
    await gcloud.text(...accounts("enable", email));
    expect((await gcloud.json<Account>(...accounts("describe", email))).disabled).toBeUndefined();
    await gcloud.text(...accounts("delete", email));
    const gone = await gcloud.attempt(accounts("describe", email));
    expect([gone.code, gone.output]).toEqual([1, expect.stringContaining("NOT_FOUND")]);
    await gcloud.text("beta", ...accounts("undelete", uniqueId));
    expect((await gcloud.json<Account>(...accounts("describe", email))).uniqueId).toBe(uniqueId);
  });

  test("keys: create, list, disable, enable, upload, delete", async () => {
    const file = join(scratch.directory("key"), "key.json");
    const keys = (...args: string[]): string[] => accounts("keys", ...args, `--iam-account=${email}`);
    await gcloud.text(...keys("create", file));
    const written = (await Bun.file(file).json()) as Record<string, string>;
    expect(written).toMatchObject({ type: "service_account", client_email: email, project_id: "my-project" });
    expect(written.token_uri).toEndWith(`:${berth.port}/token`);
    const own = await openGcloud(berth, scratch, { key: JSON.stringify(written) });
    expect(await own.text("auth", "print-access-token")).toBeString();
    const id = written.private_key_id as string;
    const [listed] = await gcloud.json<Key[]>(...keys("list", "--managed-by=user"));
    expect([idOf(listed?.name as string), listed?.keyOrigin]).toEqual([id, "GOOGLE_PROVIDED"]);
    await gcloud.text(...keys("disable", id));
    expect((await gcloud.json<Key[]>(...keys("list", "--managed-by=user")))[0]?.disabled).toBe(true);
    await gcloud.text(...keys("enable", id));
    const directory = scratch.directory("certificate");
    const certificate = join(directory, "cert.pem");
    const make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=x"];
    await run([...make, "-keyout", join(directory, "key.pem"), "-out", certificate]);
    await gcloud.text(...keys("upload", certificate));
    const both = await gcloud.json<Key[]>(...keys("list", "--managed-by=user"));
    expect(both.map(({ keyOrigin }) => keyOrigin).sort()).toEqual(["GOOGLE_PROVIDED", "USER_PROVIDED"]);
    for (const { name } of both) await gcloud.text(...keys("delete", idOf(name)));
    expect(await gcloud.json<Key[]>(...keys("list", "--managed-by=user"))).toEqual([]);
    const refused = await gcloud.attempt(keys("create", join(directory, "x.p12"), "--key-file-type=p12"));
    expect([refused.code, refused.output]).toEqual([1, expect.stringContaining("TYPE_GOOGLE_CREDENTIALS_FILE")]);
  });

  test("its policy says who may act as it, sign in its name, and get its tokens", async () => {
    const member = `--member=serviceAccount:${adminEmail}`;
    const binding = [email, member, "--role=roles/iam.serviceAccountTokenCreator"];
    const before = await gcloud.attempt(["auth", "print-access-token", `--impersonate-service-account=${email}`]);
    expect([before.code, before.output]).toEqual([1, expect.stringContaining("iam.serviceAccounts.getAccessToken")]);
    await gcloud.text(...accounts("add-iam-policy-binding", ...binding));
    const policy = await gcloud.json<object>(...accounts("get-iam-policy", email));
    expect(policy).toMatchObject({
      bindings: [{ role: "roles/iam.serviceAccountTokenCreator", members: [`serviceAccount:${adminEmail}`] }],
    });
    const directory = scratch.directory("sign");
    await Bun.write(join(directory, "in"), "a blob");
    await Bun.write(
      join(directory, "claims"),
      JSON.stringify({ sub: email, aud: "x", exp: Math.floor(Date.now() / 1000) + 600 }),
    );
    const signer = `--iam-account=${email}`;
    const [token, identity] = await inPairs(
      () => gcloud.text("auth", "print-access-token", `--impersonate-service-account=${email}`),
      () =>
        gcloud.text(
          "auth",
          "print-identity-token",
          `--impersonate-service-account=${email}`,
          "--audiences=https://x.example",
        ),
      () => gcloud.text(...accounts("sign-blob", join(directory, "in"), join(directory, "blob"), signer)),
      () => gcloud.text(...accounts("sign-jwt", join(directory, "claims"), join(directory, "jwt"), signer)),
    );
    const info = await fetch(`${berth.url}/tokeninfo?access_token=${token?.trim().split("\n").at(-1)}`);
    expect(await info.json()).toMatchObject({ email });
    const claims = (jwt: string): unknown =>
      JSON.parse(Buffer.from(jwt.split(".")[1] as string, "base64url").toString("utf8"));
    expect(claims(identity as string)).toMatchObject({ aud: "https://x.example" });
    expect(claims(await Bun.file(join(directory, "jwt")).text())).toMatchObject({ sub: email });
    expect(await Bun.file(join(directory, "blob")).exists()).toBe(true);
    const file = join(directory, "policy.json");
    await Bun.write(file, JSON.stringify({ ...policy, bindings: [] }));
    await gcloud.text(...accounts("set-iam-policy", email, file));
    expect(await gcloud.json<object>(...accounts("get-iam-policy", email))).not.toHaveProperty("bindings");
    const missing = await gcloud.attempt(accounts("remove-iam-policy-binding", ...binding));
    expect([missing.code, missing.output]).toEqual([1, expect.stringContaining("not found")]);
  });
});
