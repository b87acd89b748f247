import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { type Account, makeAccount } from "../harness/accounts.ts";
import { type Berth, startBerth } from "../harness/berth.ts";
import { type Gcloud, inPairs, openGcloud } from "../harness/gcloud.ts";
import { makeSampleImage, type SampleImage } from "../harness/sample-image.ts";
import { makeScratch } from "../harness/scratch.ts";
import { describeInstalled } from "../harness/suites.ts";
import { adminEmail } from "../harness/tenants.ts";

setDefaultTimeout(60_000);

describeInstalled(["gcloud"], "gcloud's ways in", () => {
  const scratch = makeScratch();
  let berth: Berth;
  let gcloud: Gcloud;
  let robot: Account;

  beforeAll(async () => {
    berth = await startBerth();
    [gcloud, robot] = await Promise.all([openGcloud(berth, scratch), makeAccount(berth, "robot")]);
  });

  afterAll(async () => {
    await berth.stop();
    await scratch.remove();
  });

  /** Whom an access token speaks for, as the server says. */
  const owner = async (token: string): Promise<{ email: string; seconds: number }> => {
    const reply = await fetch(`${berth.url}/tokeninfo?access_token=${token.trim()}`);
    const { email, expires_in } = (await reply.json()) as { email: string; expires_in: string };
    return { email, seconds: Number(expires_in) };
  };
  const claimsOf = (token: string): Record<string, unknown> =>
    JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8"));

  test("activate-service-account signs in with a key file", async () => {
    const [accounts, token, again] = await inPairs<unknown>(
      () => gcloud.json("auth", "list"),
      () => gcloud.text("auth", "print-access-token"),
      () => gcloud.text("auth", "print-access-token"),
    );
    expect(accounts).toMatchObject([{ account: adminEmail, status: "ACTIVE" }]);
    const { email, seconds } = await owner(token as string);
    expect(email).toBe(adminEmail);
    expect(seconds).toBeGreaterThan(3500);
    // It is kept until it ends.
    expect(again).toBe(token);
  });

  test("a key that the server does not know is refused with a reason", async () => {
    const stranger = await openGcloud(berth, scratch, { key: null });
    const key = { ...(JSON.parse(robot.key) as object), private_key_id: "0".repeat(40) };
    await Bun.write(stranger.keyFile, JSON.stringify(key));
    const signIn = ["auth", "activate-service-account", `--key-file=${stranger.keyFile}`];
    const { code, output } = await stranger.attempt(signIn);
    expect([code, output]).toEqual([1, expect.stringContaining("invalid_grant")]);
  });

  test("login --cred-file keeps the key and asks for a token when it needs one", async () => {
    const other = await openGcloud(berth, scratch, { key: null });
    await Bun.write(other.keyFile, robot.key);
    await other.text("auth", "login", `--cred-file=${other.keyFile}`);
    expect((await owner(await other.text("auth", "print-access-token"))).email).toBe(robot.email);
  });

  test("a token in a variable or a file is enough", async () => {
    const token = await gcloud.text("auth", "print-access-token");
    const nobody = await openGcloud(berth, scratch, { key: null });
    await Bun.write(nobody.keyFile, token);
    const list = ["projects", "list", "--format=value(projectId)"];
    const [bare, variable, file] = await inPairs(
      () => nobody.attempt(list),
      () => nobody.attempt(list, { env: { CLOUDSDK_AUTH_ACCESS_TOKEN: token } }),
      () => nobody.attempt([...list, `--access-token-file=${nobody.keyFile}`]),
    );
    expect(bare?.code).toBe(1);
    expect(variable?.stdout).toBe("my-project\n");
    expect(file?.stdout).toBe("my-project\n");
  });

  test("self-signed tokens are taken too, as beta commands send them", async () => {
    const env = { CLOUDSDK_AUTH_SERVICE_ACCOUNT_USE_SELF_SIGNED_JWT: "true" };
    const fresh = await openGcloud(berth, scratch, { env });
    expect(await fresh.text("projects", "list", "--format=value(projectId)")).toBe("my-project");
    expect(claimsOf(await fresh.text("auth", "print-access-token"))).toMatchObject({
      iss: adminEmail,
      sub: adminEmail,
    });
  });

  test("impersonates an account on which it is token creator, and no other", async () => {
    const role = ["--member", `serviceAccount:${adminEmail}`, "--role=roles/iam.serviceAccountTokenCreator"];
    const as = `--impersonate-service-account=${robot.email}`;
    const { code, output } = await gcloud.attempt(["auth", "print-access-token", as]);
    expect([code, output]).toEqual([1, expect.stringContaining("'iam.serviceAccounts.getAccessToken' denied")]);
    await gcloud.text("iam", "service-accounts", "add-iam-policy-binding", robot.email, ...role);
    const [token, short, identity, projects] = await inPairs(
      () => gcloud.text("auth", "print-access-token", as),
      () => gcloud.text("auth", "print-access-token", as, "--lifetime=600"),
      () => gcloud.text("auth", "print-identity-token", as, "--audiences=https://app.example", "--include-email"),
      () => gcloud.text("projects", "list", as, "--format=value(projectId)"),
    );
    expect((await owner(token as string)).email).toBe(robot.email);
    expect((await owner(short as string)).seconds).toBeLessThanOrEqual(600);
    expect(claimsOf(identity as string)).toMatchObject({ email: robot.email, aud: "https://app.example" });
    expect(projects).toBe("");
  });

  test("prints identity tokens, and tokens for application default credentials", async () => {
    const [identity, token] = await inPairs(
      () => gcloud.text("auth", "print-identity-token", "--audiences=https://app.example"),
      async () => {
        const env = { GOOGLE_APPLICATION_CREDENTIALS: gcloud.keyFile };
        return (await gcloud.attempt(["auth", "application-default", "print-access-token"], { env })).stdout;
      },
    );
    expect(claimsOf(identity as string)).toMatchObject({ email: adminEmail, email_verified: true });
    expect((await owner(token as string)).email).toBe(adminEmail);
  });

  describeInstalled(["crane", "docker-credential-gcloud"], "docker's credential helper", () => {
    let sample: SampleImage;

    beforeAll(async () => {
      sample = await makeSampleImage(scratch, 1);
      await gcloud.text("auth", "configure-docker", berth.host, "--quiet");
    });

    test("configure-docker names it in docker's configuration", async () => {
      const file = Bun.file(`${scratch.env.DOCKER_CONFIG}/config.json`);
      expect(await file.json()).toMatchObject({ credHelpers: { [berth.host]: "gcloud" } });
    });

    test("get gives an access token, list the hosts, store and erase do nothing", async () => {
      const call = (verb: string) => () => gcloud.program(["docker-credential-gcloud", verb], { input: berth.host });
      const [get, list, store, erase] = await inPairs(call("get"), call("list"), call("store"), call("erase"));
      const { Username, Secret } = JSON.parse(get?.stdout ?? "") as { Username: string; Secret: string };
      expect(Username).toBe("_dcgcloud_token");
      expect((await owner(Secret)).email).toBe(adminEmail);
      expect(JSON.parse(list?.stdout ?? "")).toMatchObject({ "https://gcr.io": "_dcgcloud_token" });
      expect([store?.code, erase?.code]).toEqual([0, 0]);
    });

    test("crane pushes and pulls with it", async () => {
      const image = `${berth.host}/my-project/helper/app:v1`;
      const push = await gcloud.program(["crane", "push", sample.layout, image]);
      expect(push.output).toContain(sample.digest);
      expect((await gcloud.program(["crane", "digest", image])).stdout.trim()).toBe(sample.digest);
    });
  });
});
