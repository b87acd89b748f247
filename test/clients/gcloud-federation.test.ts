import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { type Account, makeAccount } from "../harness/accounts.ts";
import { type Berth, startBerth } from "../harness/berth.ts";
import { type Gcloud, inPairs, openGcloud } from "../harness/gcloud.ts";
import { makeScratch } from "../harness/scratch.ts";
import { describeInstalled } from "../harness/suites.ts";
import { startTokenIssuer, type TokenIssuer } from "../harness/token-issuer.ts";

setDefaultTimeout(60_000);

describeInstalled(["gcloud"], "gcloud's workload identity pools", () => {
  const scratch = makeScratch();
  let berth: Berth;
  let gcloud: Gcloud;
  let issuer: TokenIssuer;
  let robot: Account;
  let number: string;

  beforeAll(async () => {
    issuer = await startTokenIssuer();
    berth = await startBerth({ config: 'egress:\n  allow: ["127.0.0.1"]\n' });
    [gcloud, robot] = await Promise.all([openGcloud(berth, scratch), makeAccount(berth, "robot")]);
    number = await gcloud.text("projects", "describe", "my-project", "--format=value(projectNumber)");
  });

  afterAll(async () => {
    await berth.stop();
    await issuer.stop();
    await scratch.remove();
  });

  const pools = (...args: string[]): string[] => [
    "iam",
    "workload-identity-pools",
    ...args,
    "--location=global",
    "--project=my-project",
  ];
  const inPool = ["--workload-identity-pool=ci-pool"];
  const poolName = (): string => `projects/${number}/locations/global/workloadIdentityPools/ci-pool`;

  test("a pool is created, described, changed and listed", async () => {
    await gcloud.text(...pools("create", "ci-pool", "--display-name=CI", "--description=Jobs"));
    await gcloud.text(...pools("update", "ci-pool", "--description=All jobs"));
    const [one, all] = await inPairs<unknown>(
      () => gcloud.json(...pools("describe", "ci-pool")),
      () => gcloud.json(...pools("list")),
    );
    const expected = { name: poolName(), displayName: "CI", description: "All jobs", state: "ACTIVE" };
    expect(one).toEqual(expected);
    expect(all).toEqual([expected]);
  });

  test("so is a provider of it", async () => {
    const settings = [
      `--issuer-uri=${issuer.url}`,
      "--attribute-mapping=google.subject=assertion.sub,attribute.team=assertion.team",
      "--attribute-condition=assertion.team == 'builders'",
    ];
    await gcloud.text(...pools("providers", "create-oidc", "ci-runner", ...inPool, ...settings));
    await gcloud.text(...pools("providers", "update-oidc", "ci-runner", ...inPool, "--display-name=Runner"));
    const [one, all] = await inPairs<unknown>(
      () => gcloud.json(...pools("providers", "describe", "ci-runner", ...inPool)),
      () => gcloud.json(...pools("providers", "list", ...inPool)),
    );
    const expected = {
      name: `${poolName()}/providers/ci-runner`,
      displayName: "Runner",
      state: "ACTIVE",
      attributeMapping: { "google.subject": "assertion.sub", "attribute.team": "assertion.team" },
      attributeCondition: "assertion.team == 'builders'",
      oidc: { issuerUri: issuer.url },
    };
    expect(one).toEqual(expected);
    expect(all).toEqual([expected]);
  });

  test("a job signs in with a credential file and acts as a service account", async () => {
    const directory = scratch.directory("job");
    const token = join(directory, "token");
    const credentials = join(directory, "credentials.json");
    const audience = `https://iam.googleapis.com/${poolName()}/providers/ci-runner`;
    await Bun.write(token, await issuer.sign({ aud: audience, sub: "job-7", team: "builders" }));
    const member = `principal://iam.googleapis.com/${poolName()}/subject/job-7`;
    const binding = ["--role=roles/iam.workloadIdentityUser", `--member=${member}`, "--project=my-project"];
    await gcloud.text("iam", "service-accounts", "add-iam-policy-binding", robot.email, ...binding);
    await Bun.write(
      credentials,
      JSON.stringify({
        type: "external_account",
        audience: audience.replace("https:", ""),
        subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
        token_url: `${berth.url}/v1/token`,
        credential_source: { file: token },
        service_account_impersonation_url: `${berth.url}/v1/projects/-/serviceAccounts/${robot.email}:generateAccessToken`,
      }),
    );
    const job = await openGcloud(berth, scratch, { key: null });
    await job.text("auth", "login", `--cred-file=${credentials}`);
    const [active, access] = await inPairs(
      () => job.text("auth", "list", "--format=value(account)"),
      () => job.text("auth", "print-access-token"),
    );
    expect(active).toBe(robot.email);
    const info = await fetch(`${berth.url}/tokeninfo?access_token=${access}`);
    expect(await info.json()).toMatchObject({ email: robot.email });
  });

  test("a job without a service account is itself", async () => {
    const directory = scratch.directory("job");
    const token = join(directory, "token");
    const credentials = join(directory, "credentials.json");
    const provider = `${poolName()}/providers/ci-runner`;
    await Bun.write(token, await issuer.sign({ aud: `//iam.googleapis.com/${provider}`, sub: "j8", team: "builders" }));
    const create = ["iam", "workload-identity-pools", "create-cred-config", provider];
    await gcloud.text(...create, `--credential-source-file=${token}`, `--output-file=${credentials}`);
    const written = (await Bun.file(credentials).json()) as object;
    const here = { token_url: `${berth.url}/v1/token`, token_info_url: `${berth.url}/v1/introspect` };
    await Bun.write(credentials, JSON.stringify({ ...written, ...here }));
    const job = await openGcloud(berth, scratch, { key: null });
    await job.text("auth", "login", `--cred-file=${credentials}`);
    expect(await job.text("auth", "list", "--format=value(account)")).toContain("/subject/j8");
    // Nobody has given it anything.
    expect(await job.text("projects", "list")).toBe("");
  });

  test("they are deleted and brought back", async () => {
    await gcloud.text(...pools("providers", "delete", "ci-runner", ...inPool));
    await gcloud.text(...pools("providers", "undelete", "ci-runner", ...inPool));
    await gcloud.text(...pools("delete", "ci-pool"));
    expect(await gcloud.json(...pools("list"))).toEqual([]);
    await gcloud.text(...pools("undelete", "ci-pool"));
    expect(await gcloud.text(...pools("describe", "ci-pool", "--format=value(state)"))).toBe("ACTIVE");
  });
});
