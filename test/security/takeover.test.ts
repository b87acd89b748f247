import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import { type Account, makeAccount } from "../harness/accounts.ts";
import { type Berth, startBerth } from "../harness/berth.ts";
import { bind, bindingOf, bindOnBucket } from "../harness/bindings.ts";
import { basic } from "../harness/caller.ts";
import { mustCall } from "../harness/federation.ts";
import { pushBlob, pushManifest } from "../harness/registry.ts";
import { adminEmail } from "../harness/tenants.ts";

// Nobody becomes an administrator of the organisation by owning the project, or managing the users, that one is in.

setDefaultTimeout(60_000);

const accounts = "/v1/projects/my-project/serviceAccounts";
let berth: Berth;
let peer: Account;
let keeper: Account;
let organization: string;

beforeAll(async () => {
  berth = await startBerth();
  peer = await makeAccount(berth, "peer");
  keeper = await makeAccount(berth, "keeper");
  await bind(berth, "/v1/projects/my-project", bindingOf("roles/owner", peer.email));
  await bind(
    berth,
    "/v1/projects/my-project",
    bindingOf("roles/iam.serviceAccountTokenCreator", peer.email),
    bindingOf("roles/iam.serviceAccountAdmin", peer.email),
    bindingOf("roles/iam.serviceAccountKeyAdmin", peer.email),
  );
  const found = await mustCall<{ organizations: { name: string }[] }>(berth, "POST", "/v1/organizations:search", {});
  organization = found.organizations[0]?.name as string;
});

afterAll(async () => {
  await berth.stop();
  rmSync(berth.data, { recursive: true, force: true });
});

async function as(account: Account, method: string, path: string, body?: object): Promise<Response> {
  return fetch(berth.url + path, {
    method,
    headers: { authorization: basic(account.key), "content-type": "application/json" },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
}

describe("a project's owner is refused, for an account that administers the organisation,", () => {
  const payload = Buffer.from("x").toString("base64");
  const scope = ["https://www.googleapis.com/auth/cloud-platform"];
  const keyId = (): string => (JSON.parse(berth.key) as { private_key_id: string }).private_key_id;
  const calls: Record<string, () => [method: string, path: string, body?: object]> = {
    "an access token": () => ["POST", `${accounts}/${adminEmail}:generateAccessToken`, { scope }],
    "an ID token": () => ["POST", `${accounts}/${adminEmail}:generateIdToken`, { audience: "x" }],
    "a signature": () => ["POST", `${accounts}/${adminEmail}:signBlob`, { payload }],
    "a signed JWT": () => ["POST", `${accounts}/${adminEmail}:signJwt`, { payload: "{}" }],
    "a token through a chain": () => [
      "POST",
      `${accounts}/${peer.email}:generateAccessToken`,
      { scope, delegates: [`projects/-/serviceAccounts/${adminEmail}`] },
    ],
    "a new key": () => ["POST", `${accounts}/${adminEmail}/keys`, {}],
    "disabling a key": () => ["POST", `${accounts}/${adminEmail}/keys/${keyId()}:disable`, {}],
    "deleting a key": () => ["DELETE", `${accounts}/${adminEmail}/keys/${keyId()}`],
    "disabling it": () => ["POST", `${accounts}/${adminEmail}:disable`, {}],
    "deleting it": () => ["DELETE", `${accounts}/${adminEmail}`],
  };
  test.each(Object.keys(calls))("%s", async (name) => {
    const [method, path, body] = (calls[name] as (typeof calls)[string])();
    expect((await as(peer, method, path, body)).status).toBe(403);
    expect((await berth.fetch("/v1/projects/my-project")).status).toBe(200);
  });

  test("while another of the project's accounts is theirs", async () => {
    const reply = await as(peer, "POST", `${accounts}/${keeper.email}:generateAccessToken`, { scope });
    expect(reply.status).toBe(200);
  });
});

test("an account with another role on the organisation is not out of reach", async () => {
  const scanner = await makeAccount(berth, "scanner");
  await bind(berth, `/v1/${organization}`, bindingOf("roles/storage.objectViewer", scanner.email));
  expect((await as(peer, "POST", `${accounts}/${scanner.email}/keys`, {})).status).toBe(200);
});

test("who manages users takes over nobody who administers the organisation", async () => {
  await bind(berth, `/v1/${organization}`, bindingOf("roles/berth.admin", keeper.email));
  await mustCall(berth, "POST", "/berth/v1/users", { email: "ann@example.com" });
  await mustCall(berth, "POST", "/berth/v1/groups", { email: "admins@example.com" });
  await bind(berth, `/v1/${organization}`, {
    role: "roles/resourcemanager.organizationAdmin",
    members: ["group:admins@example.com"],
  });
  const member = { member: `serviceAccount:${keeper.email}` };
  const refused: [string, string, object?][] = [
    ["POST", "/berth/v1/users/admin@berth.local:setPassword", {}],
    ["PATCH", "/berth/v1/users/admin@berth.local", { disabled: true }],
    ["DELETE", "/berth/v1/users/admin@berth.local"],
    ["POST", "/berth/v1/groups/admins@example.com:addMember", member],
    ["DELETE", "/berth/v1/groups/admins@example.com"],
  ];
  for (const call of refused) expect([call[1], (await as(keeper, ...call)).status]).toEqual([call[1], 403]);
  expect((await as(keeper, "POST", "/berth/v1/users/ann@example.com:setPassword", {})).status).toBe(200);
});

test("the only administrator of the organisation is neither deleted nor disabled", async () => {
  const policy = await mustCall<{ bindings: { role: string; members: string[] }[] }>(
    berth,
    "POST",
    `/v1/${organization}:getIamPolicy`,
    {},
  );
  const others = policy.bindings.filter(({ role }) => role !== "roles/resourcemanager.organizationAdmin");
  const own = { role: "roles/resourcemanager.organizationAdmin", members: [`serviceAccount:${adminEmail}`] };
  await mustCall(berth, "POST", `/v1/${organization}:setIamPolicy`, {
    policy: { ...policy, bindings: [...others, own] },
  });
  for (const [method, path] of [
    ["DELETE", `${accounts}/${adminEmail}`],
    ["POST", `${accounts}/${adminEmail}:disable`],
  ] as const) {
    const reply = await berth.fetch(path, {
      method,
      headers: { "content-type": "application/json" },
      ...(method === "POST" && { body: "{}" }),
    });
    expect(await reply.text()).toContain("only administrator");
    expect(reply.status).toBe(400);
  }
});

test("conditions cost others no time and take away nothing that was given higher up", async () => {
  const bucket = "artifacts.my-project.appspot.com";
  const repository = "my-project/secret";
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const config = await pushBlob(berth, repository, "{}", "application/vnd.oci.empty.v1+json");
  for (let i = 0; i < 300; i++) await pushManifest(berth, repository, { mediaType, config, layers: [] }, `t${i}`);
  const auditor = await makeAccount(berth, "auditor");
  await bind(
    berth,
    `/v1/${organization}`,
    bindingOf("roles/storage.objectViewer", auditor.email, 'resource.name != ""'),
  );
  const pull = (): Promise<Response> => as(auditor, "GET", `/v2/${repository}/blobs/${config.digest}`);
  expect((await pull()).status).toBe(200);
  const numbers = Array.from({ length: 200 }, (_, n) => n).join(",");
  const costly = (i: number): string => `[${numbers}].exists(x, string(x) + resource.name == "${i}")`;
  await bindOnBucket(
    berth,
    bucket,
    ...Array.from({ length: 60 }, (_, i) => bindingOf("roles/storage.objectViewer", auditor.email, costly(i))),
    ...Array.from({ length: 40 }, (_, i) => bindingOf("roles/storage.objectViewer", keeper.email, costly(i))),
  );
  expect((await pull()).status).toBe(200);
  // One whose rights hang on the costly ones alone is refused in time, and others are answered meanwhile.
  const stranger = as(keeper, "GET", `/v2/${repository}/blobs/${config.digest}`);
  let answered = 0;
  let isOver = false;
  const others = (async () => {
    while (!isOver) {
      await fetch(`${berth.url}/healthz`);
      answered++;
    }
  })();
  expect((await stranger).status).toBe(403);
  isOver = true;
  await others;
  expect(answered).toBeGreaterThan(3);
});
