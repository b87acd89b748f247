import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { dirname, join } from "node:path";
import { type Account, makeAccount } from "../harness/accounts.ts";
import { type Berth, startBerth } from "../harness/berth.ts";
import { startContainerd } from "../harness/containerd.ts";
import { type Dockerd, startDockerd } from "../harness/dockerd.ts";
import { mustCall } from "../harness/federation.ts";
import { type Gcloud, openGcloud } from "../harness/gcloud.ts";
import { criPull, type PullCredentials } from "../harness/kubelet.ts";
import { fetchManifest } from "../harness/registry.ts";
import { makeSampleImage, type SampleImage } from "../harness/sample-image.ts";
import { makeScratch } from "../harness/scratch.ts";
import { describeAsRoot } from "../harness/suites.ts";
import { attempt, type Outcome, run } from "../harness/tools.ts";
import { writeHosts } from "./drivers/containerd.ts";
import { storageFlags } from "./drivers/container-tools.ts";

setDefaultTimeout(180_000);

const programs = ["docker", "dockerd", "docker-credential-gcr", "gcloud", "podman", "crane", "kubectl", "containerd"];

describeAsRoot(programs, "credential helpers and pull secrets", () => {
  const scratch = makeScratch();
  let berth: Berth;
  let daemon: Dockerd;
  let sample: SampleImage;
  let gcloud: Gcloud;
  let robot: Account;
  let keyFile: string;

  beforeAll(async () => {
    berth = await startBerth();
    daemon = await startDockerd(scratch);
    sample = await makeSampleImage(scratch);
    robot = await makeAccount(berth, "robot");
    keyFile = join(scratch.directory("key"), "key.json");
    await Bun.write(keyFile, robot.key);
    gcloud = await openGcloud(berth, scratch, { key: robot.key });
    const policy = await mustCall<{ bindings: object[] }>(berth, "POST", "/v1/projects/my-project:getIamPolicy", {});
    const writer = { role: "roles/storage.admin", members: [`serviceAccount:${robot.email}`] };
    const bindings = [...policy.bindings, writer];
    await mustCall(berth, "POST", "/v1/projects/my-project:setIamPolicy", { policy: { ...policy, bindings } });
  });

  afterAll(async () => {
    await daemon.stop();
    await berth.stop();
    await scratch.remove();
  });

  const named = (rest: string): string => `${berth.host}/my-project/helpers/${rest}`;
  /** Pushes with docker as it is set up in this directory, pulls again; answers the digest. */
  const roundTrip = async (name: string, env: Record<string, string | undefined>): Promise<string> => {
    const docker = (...args: string[]): Promise<string> => run(["docker", ...args], { env: { ...daemon.env, ...env } });
    await docker("import", sample.tree, named(name));
    const pushed = /digest: (sha256:[0-9a-f]{64})/.exec(await docker("push", named(name)))?.[1] as string;
    await docker("rmi", named(name));
    await docker("pull", named(name));
    return pushed;
  };

  test("docker with docker-credential-gcr, as it sets itself up", async () => {
    const env = { DOCKER_CONFIG: scratch.directory("docker"), GOOGLE_APPLICATION_CREDENTIALS: keyFile };
    const helper = (...args: string[]): Promise<string> =>
      run(["docker-credential-gcr", ...args], { env: { ...scratch.env, ...env } });
    await helper("config", "--token-source=env");
    await helper("configure-docker", `--registries=${berth.host}`);
    const digest = await roundTrip("gcr:v1", env);
    expect((await fetchManifest(berth, "my-project/helpers/gcr", "v1")).digest).toBe(digest);
    expect(berth.output()).toContain(`"principal":"serviceAccount:${robot.email}"`);
  });

  test("docker with gcloud's helper, as gcloud auth configure-docker sets it up", async () => {
    const directory = scratch.directory("docker");
    const configured = await gcloud.program(["gcloud", "auth", "configure-docker", berth.host], {
      env: { DOCKER_CONFIG: directory },
    });
    expect(configured.code).toBe(0);
    // The helper needs gcloud's settings, as in the shell that has read them.
    const docker = (...args: string[]): Promise<Outcome> =>
      gcloud.program(["docker", ...args], { env: { ...daemon.env, DOCKER_CONFIG: directory } });
    await run(["docker", "import", sample.tree, named("gcloud:v1")], { env: daemon.env });
    expect((await docker("push", named("gcloud:v1"))).output).toContain("digest: sha256:");
    expect((await docker("pull", named("gcloud:v1"))).code).toBe(0);
  });

  test("podman with each of the user names", async () => {
    const token = await gcloud.text("auth", "print-access-token");
    const logins: [string, string][] = [
      ["_json_key", robot.key],
      ["_json_key_base64", Buffer.from(robot.key).toString("base64")],
      ["oauth2accesstoken", token],
      ["_dcgcloud_token", token],
      ["_token", token],
    ];
    for (const [user, password] of logins) {
      const auth = join(scratch.directory("podman"), "auth.json");
      const podman = (args: string[], input = ""): Promise<string> =>
        run(["podman", ...storageFlags(scratch, "podman"), ...args], {
          env: { ...scratch.env, REGISTRY_AUTH_FILE: auth },
          input,
        });
      const plain = "--tls-verify=false";
      await podman(["login", plain, "-u", user, "--password-stdin", berth.host], password);
      const image = named(`podman${user.replaceAll("_", "-")}:v1`);
      await podman(["import", sample.tree, image]);
      await podman(["push", plain, image]);
      await podman(["rmi", image]);
      await podman(["pull", plain, image]);
    }
  });

  test("a pull secret as kubectl makes it", async () => {
    await roundTrip("secret:v1", { DOCKER_CONFIG: await dockerLogin() });
    const login = ["--docker-username=_json_key", `--docker-password=${robot.key}`];
    const create = ["kubectl", "create", "secret", "docker-registry", "berth", `--docker-server=${berth.host}`];
    const secret = await run([...create, ...login, "--dry-run=client", "-o", "json"]);
    const { data } = JSON.parse(secret) as { data: Record<string, string> };
    const directory = scratch.directory("secret");
    const config = Buffer.from(data[".dockerconfigjson"] as string, "base64").toString("utf8");
    await Bun.write(join(directory, "config.json"), config);
    // A controller reads it with ggcr's keychain, a kubelet takes the words for the registry out of it.
    const digest = await run(["crane", "digest", named("secret:v1")], {
      env: { ...scratch.env, DOCKER_CONFIG: directory },
    });
    expect(digest.trim()).toBe((await fetchManifest(berth, "my-project/helpers/secret", "v1")).digest);
    const without = await attempt(["crane", "digest", named("secret:v1")], {
      env: { ...scratch.env, DOCKER_CONFIG: scratch.directory("none") },
    });
    expect(without.code).toBe(1);
    const site = { host: berth.host, key: robot.key };
    const containerd = await startContainerd(scratch, { hosts: await writeHosts(scratch, site) });
    try {
      const { auths } = JSON.parse(config) as { auths: Record<string, PullCredentials> };
      expect(await criPull(containerd.address, named("secret:v1"), auths[berth.host])).toStartWith("sha256:");
      const refused = await criPull(containerd.address, named("secret:v1"), undefined).catch(
        (error: Error) => error.message,
      );
      expect(refused).toMatch(/unauthorized|authorization failed|anonymous token/);
    } finally {
      await containerd.stop();
    }
  });

  test("a key that was disabled ends all of them, with a reason", async () => {
    const id = (JSON.parse(robot.key) as { private_key_id: string }).private_key_id;
    const path = `/v1/projects/my-project/serviceAccounts/${robot.email}/keys/${id}:disable`;
    const directory = await dockerLogin();
    await mustCall(berth, "POST", path, {});
    const helper = join(scratch.directory("docker"), "config.json");
    await Bun.write(helper, JSON.stringify({ credHelpers: { [berth.host]: "gcr" } }));
    for (const config of [directory, dirname(helper)]) {
      const env = { ...daemon.env, DOCKER_CONFIG: config, GOOGLE_APPLICATION_CREDENTIALS: keyFile };
      const { code, output } = await attempt(["docker", "pull", named("secret:v1")], { env });
      expect([code, output]).toEqual([1, expect.stringMatching(/unauthorized|denied/i)]);
    }
  });

  async function dockerLogin(): Promise<string> {
    const directory = scratch.directory("docker");
    const env = { ...daemon.env, DOCKER_CONFIG: directory };
    await run(["docker", "login", "-u", "_json_key", "--password-stdin", berth.host], { env, input: robot.key });
    return directory;
  }
});
