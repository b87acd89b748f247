import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { type Account, makeAccount } from "../harness/accounts.ts";
import { type Berth, startBerth, until } from "../harness/berth.ts";
import { bind, bindingOf } from "../harness/bindings.ts";
import { Browser } from "../harness/browser.ts";
import { mustCall } from "../harness/federation.ts";
import { type Gcloud, type GcloudProxy, openGcloud, startGcloudProxy } from "../harness/gcloud.ts";
import { makeScratch } from "../harness/scratch.ts";
import { describeInstalled } from "../harness/suites.ts";

setDefaultTimeout(60_000);

const email = "ann@example.com";
const password = "correct horse battery staple";
/** gcloud's own identity, as it is built into it. */
const client = { client_id: "32555940559.apps.googleusercontent.com", client_secret: "ZmssLNjJy2998hD4CTg2ejr2" };

describeInstalled(["gcloud"], "people sign in with gcloud", () => {
  const scratch = makeScratch();
  let berth: Berth;
  let proxy: GcloudProxy;
  let robot: Account;

  beforeAll(async () => {
    berth = await startBerth();
    proxy = await startGcloudProxy(berth, scratch);
    await mustCall(berth, "POST", "/berth/v1/users", { email, password });
    robot = await makeAccount(berth, "robot");
    const viewer = { role: "roles/viewer", members: [`user:${email}`] };
    await bind(berth, "/v1/projects/my-project", viewer, bindingOf("roles/viewer", robot.email));
  });

  afterAll(async () => {
    await proxy.stop();
    await berth.stop();
    await scratch.remove();
  });

  /** `gcloud auth login`, with a person at the browser who copies the code. */
  async function login(gcloud: Gcloud): Promise<{ code: number; output: string }> {
    const { command, env } = gcloud.command("auth", "login", "--no-launch-browser");
    const child = Bun.spawn(command, {
      env: { ...env, CLOUDSDK_CORE_DISABLE_PROMPTS: undefined },
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
      timeout: 50_000,
    });
    let output = "";
    const collect = async (stream: ReadableStream<Uint8Array>): Promise<void> => {
      const decoder = new TextDecoder();
      for await (const chunk of stream) output += decoder.decode(chunk, { stream: true });
    };
    const collected = Promise.all([collect(child.stdout), collect(child.stderr)]);
    const printed = await until(
      () => /https?:\/\/\S+o\/oauth2\/\S+/.exec(output)?.[0],
      30_000,
      () => output,
    );
    const { pathname, search } = new URL(printed);
    const browser = new Browser();
    const page = await browser.open(`${berth.url}${pathname}${search}`);
    expect(page.html).toContain("Google Cloud CLI");
    const shown = await browser.submit(page, { email, password });
    const code = /<code>([^<]+)<\/code>/.exec(shown.html)?.[1];
    expect(code).toBeString();
    await child.stdin.write(`${code}\n`);
    await child.stdin.end();
    const status = await child.exited;
    await collected;
    return { code: status, output };
  }

  const listProjects = ["projects", "list", "--format=value(projectId)"];

  test("in a shell that has read `berth gcloud-env`", async () => {
    const gcloud = await openGcloud(berth, scratch, { key: null });
    expect(await login(gcloud)).toMatchObject({ code: 0, output: expect.stringContaining(`logged in as [${email}]`) });
    expect(await gcloud.json("auth", "list")).toMatchObject([{ account: email, status: "ACTIVE" }]);
    expect(await gcloud.text(...listProjects)).toBe("my-project");
    const told = await gcloud.attempt(["config", "set", "project", "my-project"]);
    expect([told.code, told.output]).toEqual([0, expect.not.stringMatching(/permission|may not exist|does not/)]);
  });

  test("through `berth gcloud-proxy`; auth revoke ends it on the server too", async () => {
    const gcloud = await openGcloud(berth, scratch, { key: null, proxy });
    expect((await login(gcloud)).code).toBe(0);
    expect(await gcloud.text(...listProjects)).toBe("my-project");
    const token = await gcloud.text("auth", "print-access-token");
    const status = async (): Promise<number> =>
      (await fetch(`${berth.url}/v1/projects/my-project`, { headers: { authorization: `Bearer ${token}` } })).status;
    expect(await status()).toBe(200);
    await gcloud.text("auth", "revoke", email);
    expect(await status()).toBe(401);
    expect(await gcloud.json("auth", "list")).toEqual([]);
  });

  test("activate-refresh-token, without a browser", async () => {
    const verifier = randomBytes(32).toString("base64url");
    const target = "http://localhost:9/";
    const query = new URLSearchParams({
      client_id: client.client_id,
      redirect_uri: target,
      response_type: "code",
      scope: "openid https://www.googleapis.com/auth/cloud-platform",
      code_challenge: createHash("sha256").update(verifier).digest("base64url"),
      code_challenge_method: "S256",
    });
    const browser = new Browser();
    const page = await browser.open(`${berth.url}/o/oauth2/auth?${query}`);
    const end = await browser.submit(page, { email, password }, (url) => url.startsWith(target));
    const code = new URL(end.url).searchParams.get("code") as string;
    const grant = { grant_type: "authorization_code", code, code_verifier: verifier, redirect_uri: target, ...client };
    const reply = await fetch(`${berth.url}/token`, { method: "POST", body: new URLSearchParams(grant) });
    const { refresh_token } = (await reply.json()) as { refresh_token: string };
    const gcloud = await openGcloud(berth, scratch, { key: null });
    await gcloud.text("auth", "activate-refresh-token", email, refresh_token);
    expect(await gcloud.text(...listProjects)).toBe("my-project");
  });

  test("credential_file_override, and a key without ID tokens", async () => {
    const gcloud = await openGcloud(berth, scratch, { key: null });
    await Bun.write(gcloud.keyFile, robot.key);
    const override = { CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE: gcloud.keyFile };
    expect((await gcloud.attempt(listProjects, { env: override })).stdout).toBe("my-project\n");
    const env = { CLOUDSDK_AUTH_SERVICE_ACCOUNT_DISABLE_ID_TOKEN_REFRESH: "true" };
    const other = await openGcloud(berth, scratch, { key: robot.key, env });
    expect(await other.text(...listProjects)).toBe("my-project");
  });
});
