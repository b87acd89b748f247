import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { makeAccount } from "../harness/accounts.ts";
import { type Berth, startBerth } from "../harness/berth.ts";
import { bind, bindingOf } from "../harness/bindings.ts";
import { type Caller, callerOf, expectReply } from "../harness/caller.ts";
import { contentOf, imageOf, pushImage, putManifest } from "../harness/content.ts";
import { callApi, mustCall } from "../harness/federation.ts";
import { mediaTypes } from "../harness/image-layout.ts";
import { adminEmail } from "../harness/tenants.ts";

// What SQL means differently in SQLite and PostgreSQL: this file runs on each (see scripts/test.ts).

setDefaultTimeout(120_000);

let berth: Berth;
let caller: Caller;
beforeAll(async () => {
  berth = await startBerth();
  caller = callerOf(berth);
  await bind(berth, "/v1/projects/my-project", bindingOf("roles/logging.viewer", adminEmail));
});
afterAll(() => berth.stop());

test("a bucket's listing goes on over pages and batches, whatever follows what", async () => {
  const { digest } = await pushImage(caller, "my-project/listed", "listed", "v1");
  const { document } = imageOf("listed");
  // In the order of bytes `v1`, `v1-0`, `v1.0` and `v10` stand together.
  const tags = Array.from({ length: 450 }, (_, i) => `v1${["-", ".", "_", ""][i % 4]}${String(i).padStart(3, "0")}`);
  for (let at = 0; at < tags.length; at += 90) {
    const query = tags.slice(at, at + 90).map((tag) => `tag=${tag}`);
    expectReply(await putManifest(caller, "my-project/listed", `${digest}?${query.join("&")}`, document), {
      status: 201,
    });
  }
  const names: string[] = [];
  let pageToken = "";
  do {
    const query = new URLSearchParams({ prefix: "containers/", maxResults: "173", ...(pageToken && { pageToken }) });
    const bucket = "artifacts.my-project.appspot.com";
    const page = await mustCall<{ items?: { name: string }[]; nextPageToken?: string }>(
      berth,
      "GET",
      `/storage/v1/b/${bucket}/o?${query}`,
    );
    names.push(...(page.items ?? []).map(({ name }) => name));
    pageToken = page.nextPageToken ?? "";
  } while (pageToken !== "");
  const listed = names.filter((name) => name.includes("/listed/tag_")).map((name) => name.replace(/.*tag_/, ""));
  expect(listed.toSorted()).toEqual(["v1", ...tags].toSorted());
  expect(new Set(names).size).toBe(names.length);
});

/** The entries that a filter finds, or the refusal. */
async function find(filter: string): Promise<{ status: number; entries: { insertId: string }[] }> {
  const resourceNames = ["projects/my-project"];
  const { status, body } = await callApi(berth, "POST", "/v2/entries:list", { resourceNames, filter, pageSize: 1000 });
  return { status, entries: (body as { entries?: { insertId: string }[] }).entries ?? [] };
}

test("each field of the audit log can be asked for in each way", async () => {
  const account = await makeAccount(berth, "asked");
  const all = (await find('severity="NOTICE"')).entries;
  expect(all.length).toBeGreaterThan(3);
  const fields = [
    "insertId",
    "logName",
    "severity",
    "resource.type",
    "resource.labels.project_id",
    "resource.labels.service",
    "resource.labels.method",
    "protoPayload.methodName",
    "protoPayload.serviceName",
    "protoPayload.resourceName",
    "protoPayload.status.code",
    "protoPayload.authenticationInfo.principalEmail",
    "protoPayload.requestMetadata.callerIp",
    "protoPayload.requestMetadata.callerSuppliedUserAgent",
    "protoPayload.authorizationInfo.permission",
    "protoPayload.authorizationInfo.resource",
    "protoPayload.authorizationInfo.granted",
  ];
  for (const field of fields) {
    for (const value of ['="abc"', '!="abc"', ':"abc"', "=3", ":*", '="NOTICE"', '="true"']) {
      const { status } = await find(`${field}${value}`);
      expect([field + value, status === 200 || status === 400]).toEqual([field + value, true]);
    }
  }
  const one = all[0] as { insertId: string };
  expect((await find(`insertId="${one.insertId}"`)).entries.map(({ insertId }) => insertId)).toEqual([one.insertId]);
  expect((await find(`protoPayload.authorizationInfo.permission:"CREATE"`)).entries.length).toBeGreaterThan(0);
  expect((await find(`"${account.email.toUpperCase()}"`)).entries.length).toBeGreaterThan(0);
});

test("what callers write into names keeps nobody from reading the log", async () => {
  const account = await makeAccount(berth, "named");
  for (const displayName of ["a\u0000b", "half \ud83e", "é İ ı"]) {
    const path = `/v1/projects/my-project/serviceAccounts/${account.email}`;
    const { status } = await callApi(berth, "PATCH", path, {
      serviceAccount: { displayName },
      updateMask: "displayName",
    });
    expect([200, 400]).toContain(status);
  }
  await callApi(berth, "POST", "/v2/entries:list", { resourceNames: ["organizations/\u0000\ud83e"] });
  for (const filter of [
    "severity>=ERROR",
    "severity=NOTICE",
    "protoPayload.status.code=7",
    'protoPayload.authorizationInfo.resource:"x"',
  ]) {
    expect([filter, (await find(filter)).status]).toEqual([filter, 200]);
  }
});

test("a policy that leans on a domain is written, or refused in the API's words", async () => {
  const policy = await mustCall<{ bindings: object[] }>(berth, "POST", "/v1/projects/my-project:getIamPolicy", {});
  const bindings = [
    ...policy.bindings,
    { role: "roles/viewer", members: ["domain:berth.local", "domain:example.com"] },
  ];
  expect(
    (await callApi(berth, "POST", "/v1/projects/my-project:setIamPolicy", { policy: { ...policy, bindings } })).status,
  ).toBe(200);
  const only = policy.bindings.filter((each) => (each as { role: string }).role !== "roles/owner");
  const owned = [...only, { role: "roles/owner", members: ["domain:nobody.example"] }];
  const latest = await mustCall<{ etag: string }>(berth, "POST", "/v1/projects/my-project:getIamPolicy", {});
  const { status } = await callApi(berth, "POST", "/v1/projects/my-project:setIamPolicy", {
    policy: { ...latest, bindings: owned },
  });
  expect(status).toBe(400);
});

test("an index of ten thousand entries, one of which is there", async () => {
  const child = await pushImage(caller, "my-project/many", "many", "child");
  const absent = Array.from({ length: 9999 }, (_, i) => contentOf(`absent ${i}`));
  const manifests = [child, ...absent].map(({ digest, size }) => ({ mediaType: mediaTypes.image, digest, size }));
  const index = { schemaVersion: 2, mediaType: mediaTypes.index, manifests } as const;
  expectReply(await putManifest(caller, "my-project/many", "all", index), { status: 201 });
  // Under Container Registry's names a child is kept as long as a list holds it.
  const gcr = callerOf(berth, { host: "gcr.io" });
  expectReply(await gcr.send("DELETE", "/v2/my-project/many/manifests/child"), { status: 202 });
  const refusal = await gcr.send("DELETE", `/v2/my-project/many/manifests/${child.digest}`);
  expectReply(refusal, { status: 400, code: "GOOGLE_MANIFEST_DANGLING_PARENT_IMAGE" });
});

test("layers whose sizes, which are claims, nobody can add up", async () => {
  await pushImage(caller, "my-project/claims", "claims", "v1");
  const { document } = imageOf("claims");
  const layers = Array.from({ length: 3 }, (_, i) => ({
    mediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar",
    digest: contentOf(`foreign ${i}`).digest,
    size: Number.MAX_SAFE_INTEGER,
  }));
  const reply = await putManifest(caller, "my-project/claims", "v2", { ...document, layers });
  expectReply(reply, { status: 400, code: "MANIFEST_INVALID", message: /2\^53/ });
});
