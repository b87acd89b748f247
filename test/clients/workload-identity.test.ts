import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type BaseExternalAccountClient, ExternalAccountClient } from "google-auth-library";
import { join } from "node:path";
import { type Account, makeAccount } from "../harness/accounts.ts";
import { type Berth, startBerth } from "../harness/berth.ts";
import { makePool, mustCall } from "../harness/federation.ts";
import { pushBlob, pushManifest } from "../harness/registry.ts";
import { makeScratch } from "../harness/scratch.ts";
import { startTokenIssuer, type TokenIssuer } from "../harness/token-issuer.ts";

setDefaultTimeout(30_000);

/** What the systems say of a job, from their documentation. */
const shapes = {
  github: {
    claims: {
      sub: "repo:octo-org/octo-repo:ref:refs/heads/main",
      repository: "octo-org/octo-repo",
      repository_owner: "octo-org",
      repository_id: "74",
      ref: "refs/heads/main",
      ref_type: "branch",
      workflow: "deploy",
      run_attempt: "1",
    },
    mapping: { "google.subject": "assertion.sub", "attribute.repository": "assertion.repository" },
    condition: "assertion.repository_owner == 'octo-org' && assertion.ref == 'refs/heads/main'",
    set: "attribute.repository/octo-org/octo-repo",
    foreign: { repository_owner: "evil-org" },
  },
  gitlab: {
    claims: {
      sub: "project_path:my-group/my-project:ref_type:branch:ref:main",
      project_path: "my-group/my-project",
      namespace_path: "my-group",
      ref: "main",
      ref_protected: "true",
      groups_direct: ["my-group/deployers"],
    },
    mapping: {
      "google.subject": "assertion.sub",
      "google.groups": "assertion.groups_direct",
      "attribute.protected": "assertion.ref_protected",
    },
    condition: "assertion.namespace_path == 'my-group' && attribute.protected == 'true'",
    set: "group/my-group/deployers",
    foreign: { namespace_path: "other" },
  },
  kubernetes: {
    claims: {
      sub: "system:serviceaccount:build:pusher",
      "kubernetes.io": { namespace: "build", serviceaccount: { name: "pusher", uid: "0b6f" } },
    },
    mapping: {
      "google.subject": "assertion.sub",
      "attribute.namespace": "assertion['kubernetes.io']['namespace']",
      "attribute.account": "assertion.sub.extract('system:serviceaccount:build:{name}')",
    },
    condition: "assertion['kubernetes.io'].serviceaccount.name == 'pusher'",
    set: "attribute.namespace/build",
    foreign: { "kubernetes.io": { namespace: "build", serviceaccount: { name: "other" } } },
  },
} as const;

const repository = "my-project/federated";
const manifestPath = `/v2/${repository}/manifests/latest`;

for (const [system, { claims, mapping, condition, set, foreign }] of Object.entries(shapes)) {
  describe(`tokens of ${system}, through google-auth-library`, () => {
    const scratch = makeScratch();
    let berth: Berth;
    let issuer: TokenIssuer;
    let robot: Account;
    let pool: string;
    let audience: string;

    beforeAll(async () => {
      issuer = await startTokenIssuer(system === "gitlab" ? "ES256" : "RS256");
      berth = await startBerth({ config: 'egress:\n  allow: ["127.0.0.1"]\n' });
      robot = await makeAccount(berth, "robot");
      pool = await makePool(berth, "ci-pool", {
        issuerUri: issuer.url,
        attributeMapping: mapping,
        attributeCondition: condition,
        // Kubernetes' issuer is in the cluster, where the registry cannot ask for its keys.
        ...(system === "kubernetes" && { jwksJson: issuer.jwks() }),
      });
      audience = `//iam.googleapis.com/${pool}/providers/provider`;
      const config = await pushBlob(berth, repository, "{}", "application/vnd.oci.empty.v1+json");
      const mediaType = "application/vnd.oci.image.manifest.v1+json";
      await pushManifest(berth, repository, { mediaType, config, layers: [] }, "latest");
    });

    afterAll(async () => {
      await berth.stop();
      await issuer.stop();
      await scratch.remove();
    });

    const member = (): string => `principalSet://iam.googleapis.com/${pool}/${set}`;

    /** A client with a credential file as `create-cred-config` writes it, and a token as the system leaves it. */
    const clientFor = async (more: object, impersonate?: string): Promise<BaseExternalAccountClient> => {
      const file = join(scratch.directory("token"), "token.json");
      await Bun.write(
        file,
        JSON.stringify({ value: await issuer.sign({ aud: `https:${audience}`, ...claims, ...more }) }),
      );
      const impersonation = `${berth.url}/v1/projects/-/serviceAccounts/${impersonate}:generateAccessToken`;
      const client = ExternalAccountClient.fromJSON({
        type: "external_account",
        audience,
        subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
        token_url: `${berth.url}/v1/token`,
        credential_source: { file, format: { type: "json", subject_token_field_name: "value" } },
        ...(impersonate !== undefined && { service_account_impersonation_url: impersonation }),
      });
      if (client === null) throw new Error("the library does not take the credential file");
      client.scopes = ["https://www.googleapis.com/auth/cloud-platform"];
      return client;
    };
    const pull = async (client: BaseExternalAccountClient): Promise<number> => {
      const { token } = await client.getAccessToken();
      return (await fetch(berth.url + manifestPath, { headers: { authorization: `Bearer ${token}` } })).status;
    };

    test("act as themselves where a binding names their set, and only then", async () => {
      const client = await clientFor({});
      expect(await pull(client)).toBe(403);
      const bucket = "/storage/v1/b/artifacts.my-project.appspot.com/iam";
      const policy = await mustCall<{ bindings: object[] }>(berth, "GET", bucket);
      const bindings = [...policy.bindings, { role: "roles/storage.objectViewer", members: [member()] }];
      await mustCall(berth, "PUT", bucket, { ...policy, bindings });
      expect(await pull(client)).toBe(200);
      await mustCall(berth, "PUT", bucket, { bindings: policy.bindings });
      expect(await pull(client)).toBe(403);
    });

    test("act as a service account that lets them", async () => {
      const client = await clientFor({}, robot.email);
      const refused = await client.getAccessToken().catch((error: Error) => error.message);
      expect(refused).toContain("iam.serviceAccounts.getAccessToken");
      const account = `/v1/projects/my-project/serviceAccounts/${robot.email}`;
      const bindings = [{ role: "roles/iam.workloadIdentityUser", members: [member()] }];
      await mustCall(berth, "POST", `${account}:setIamPolicy`, { policy: { bindings } });
      const { token } = await client.getAccessToken();
      const info = await fetch(`${berth.url}/tokeninfo?access_token=${token}`);
      expect(await info.json()).toMatchObject({ email: robot.email });
    });

    test("are refused where the condition does not hold", async () => {
      const client = await clientFor(foreign);
      const refused = await client.getAccessToken().catch((error: Error) => error.message);
      expect(refused).toContain("rejected by the attribute condition");
    });
  });
}
