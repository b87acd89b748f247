import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { until } from "../harness/berth.ts";
import { basic, bearer, type Caller, callerOf, expectReply } from "../harness/caller.ts";
import { type Content, contentOf, imageOf, noise, pushBlob, pushImage, putManifest } from "../harness/content.ts";
import { adminEmail } from "../harness/tenants.ts";
import { rawHead, rawRequest } from "../harness/raw-http.ts";
import { type Rivals, startRivals, strangerEmail } from "./rivals.ts";
import { openMetadata, type MetadataHandle } from "../harness/metadata.ts";

/** What zot had to mend. */
let rivals: Rivals;
let owner: Caller;
beforeAll(async () => {
  rivals = await startRivals(["--log-level", "debug"]);
  ({ owner } = rivals);
});
afterAll(() => rivals.berth.stop());

describe("CVE-2024-39897: knowing a digest is no right to its bytes, though the store keeps them once", () => {
  const sizes: [string, number][] = [
    ["small", 300],
    ["large", 200_000],
  ];
  test.each(sizes)(
    "a %s blob of another principal: not read, not mounted, not linked by a manifest",
    async (_, size) => {
      const { berth, stranger } = rivals;
      const secret = contentOf(noise("secret", size));
      await pushBlob(owner, "my-project/private", secret);
      // In the memory of the process, if anything ever is.
      const own = `/v2/my-project/private/blobs/${secret.digest}`;
      for (let i = 0; i < 3; i++) expectReply(await owner.send("GET", own), { status: 200 });
      const path = `/v2/strange-project/thief/blobs/${secret.digest}`;
      const uploads = "/v2/strange-project/thief/blobs/uploads/";
      for (const query of [`mount=${secret.digest}`, `mount=${secret.digest}&from=my-project/private`]) {
        expectReply(await stranger.send("POST", `${uploads}?${query}`), { status: 202 });
        for (const method of ["GET", "HEAD"]) expectReply(await stranger.send(method, path), { status: 404 });
      }
      const { config, document } = imageOf("thief");
      await pushBlob(stranger, "strange-project/thief", config);
      const layer = { mediaType: "application/octet-stream", digest: secret.digest, size: secret.size };
      const stolen = await putManifest(stranger, "strange-project/thief", "v1", { ...document, layers: [layer] });
      expectReply(stolen, { status: 404, code: "MANIFEST_BLOB_UNKNOWN" });
      expectReply(await stranger.send("GET", path), { status: 404 });
      expectReply(await stranger.send("GET", own), { status: 403, code: "DENIED" });
      // An index may list what is not there, which gives no right to it either.
      const type = "application/vnd.oci.image.index.v1+json";
      const index = { schemaVersion: 2, mediaType: type, manifests: [layer] };
      expectReply(await putManifest(stranger, "strange-project/thief", "index", index), { status: 201 });
      for (const method of ["GET", "HEAD"]) expectReply(await stranger.send(method, path), { status: 404 });
      // The same within one project, for a token of another repository.
      const token = await berth.token("repository:my-project/other:pull,push");
      const holder = callerOf(berth, { authorization: bearer(token) });
      expectReply(await holder.send("GET", `/v2/my-project/other/blobs/${secret.digest}`), { status: 404 });
      const mount = `mount=${secret.digest}&from=my-project/private`;
      expectReply(await holder.send("POST", `/v2/my-project/other/blobs/uploads/?${mount}`), { status: 401 });
      // Who has the bytes may push them, and owns them then too.
      await pushBlob(stranger, "strange-project/thief", secret);
      expectReply(await stranger.send("GET", path), { status: 200 });
    },
  );

  test("a manifest of another principal, as the child of an index", async () => {
    const { stranger } = rivals;
    const child = await pushImage(owner, "my-project/private", "secret child", "v1");
    const descriptor = {
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      digest: child.digest,
      size: child.size,
    };
    const index = { mediaType: "application/vnd.oci.image.index.v1+json", manifests: [descriptor] };
    const body = { schemaVersion: 2, ...index };
    expectReply(await putManifest(stranger, "strange-project/thief", "children", body), { status: 201 });
    const path = `/v2/strange-project/thief/manifests/${child.digest}`;
    for (const method of ["GET", "HEAD"]) expectReply(await stranger.send(method, path), { status: 404 });
  });
});

describe("CVE-2025-23208: a right that is taken away is gone with the next request", () => {
  const path = "/v2/strange-project/revoked/manifests/v1";
  const database = (): MetadataHandle => openMetadata(rivals.berth.data);
  const project = "//cloudresourcemanager.googleapis.com/projects/strange-project";
  /** What takes the right away, and gives it back, with the status of a request in between. */
  const revocations: [string, string, string, number][] = [
    [
      "the key",
      `UPDATE service_account_keys SET disabled = ? WHERE account_id = (SELECT unique_id FROM service_accounts WHERE email = '${strangerEmail}')`,
      "identity",
      401,
    ],
    ["the account", `UPDATE service_accounts SET disabled = ? WHERE email = '${strangerEmail}'`, "identity", 401],
    [
      "the role",
      `UPDATE policies SET bindings = replace(bindings, 'roles/owner', 'roles/none'), etag = CAST(? AS TEXT)
         WHERE resource = '${project}'`,
      "access",
      403,
    ],
  ];
  test.each(revocations)("of %s: from a key file and from tokens made with it", async (_, sql, version, status) => {
    const { berth, stranger } = rivals;
    await pushImage(stranger, "strange-project/revoked", "revoked", "v1");
    const key = basic(berth.keys.get(strangerEmail) as string);
    const exchanged = await stranger.send("GET", "/v2/token?scope=repository:strange-project/revoked:pull,push,delete");
    const token = (JSON.parse(exchanged.text) as { token: string }).token;
    const callers = [key, bearer(token)].map((authorization) => callerOf(berth, { authorization }));
    for (const caller of callers) expectReply(await caller.send("GET", path), { status: 200 });
    const change = (off: number): void => {
      const connection = database();
      connection.run(sql, [off]);
      if (off === 0) {
        connection.run("UPDATE policies SET bindings = replace(bindings, 'roles/none', 'roles/owner'), etag = 'again'");
      }
      connection.run("UPDATE versions SET value = value + 1 WHERE name = ?", [version]);
      connection.close();
    };
    change(1);
    try {
      for (const caller of callers) {
        expectReply(await caller.send("GET", path), { status });
        expectReply(await caller.send("GET", "/v2/strange-project/revoked/tags/list"), { status });
        expectReply(await caller.send("DELETE", path), { status });
        expectReply(await caller.send("POST", "/v2/strange-project/revoked/blobs/uploads/"), { status });
        const again = await caller.send("GET", "/v2/token?scope=repository:strange-project/revoked:pull");
        if (again.status === 200) {
          const fresh = bearer((JSON.parse(again.text) as { token: string }).token);
          expectReply(await callerOf(berth, { authorization: fresh }).send("GET", path), { status });
        } else expect(again.status).toBe(401);
      }
    } finally {
      change(0);
    }
    for (const caller of callers) expectReply(await caller.send("GET", path), { status: 200 });
  });
});

test("CVE-2025-48374, GHSA-prh4-vhfh-24mj, Harbor #23134: no secret is in the log, the audit log or the outbox", async () => {
  const { berth, nobody } = rivals;
  const name = "my-project/secrets";
  const form = { grant_type: "password", username: "_json_key", password: berth.key, scope: `repository:${name}:pull` };
  const urlencoded = { "content-type": "application/x-www-form-urlencoded" };
  const posted = await nobody.send("POST", "/v2/token", {
    body: new URLSearchParams(form).toString(),
    headers: urlencoded,
  });
  const { token } = JSON.parse(posted.text) as { token: string };
  const holder = callerOf(berth, { authorization: bearer(token) });
  await pushImage(owner, name, "secrets", "v1");
  const query = new URLSearchParams({ access_token: token, token, password: berth.key.slice(0, 3000), scope: token });
  const encoded = encodeURIComponent(token);
  for (const caller of [owner, holder, nobody]) {
    for (const path of [`/v2/${name}/manifests/v1`, `/v2/token`, "/v2/_catalog", `/v2/${name}/tags/list`, "/v2/"]) {
      await caller.send("GET", `${path}?${query}`);
      await caller.send("GET", path, { headers: { cookie: `token=${token}`, referer: `${berth.url}/?${encoded}` } });
    }
    await caller.send("PUT", `/v2/${name}/manifests/bad`, { body: berth.key });
    await caller.send("POST", `/v2/${name}/blobs/uploads/?digest=sha256:0`, { body: berth.key });
    await caller.send("POST", "/v2/token", { body: berth.key, headers: urlencoded });
  }
  for (const authorization of [
    basic(berth.key, "wrong"),
    basic(`${berth.key}x`),
    bearer(`${token}x`),
    basic(token),
    token,
  ]) {
    await callerOf(berth, { authorization }).send("GET", `/v2/${name}/manifests/v1`);
  }
  const mark = `/v2/my-project/${crypto.randomUUID()}/tags/list`;
  await owner.send("GET", mark);
  await until(() => berth.output().includes(mark) || undefined);

  const { private_key } = JSON.parse(berth.key) as { private_key: string };
  const lines = private_key.split("\n").filter((line) => line.length > 40);
  expect(lines.length).toBeGreaterThan(10);
  const signature = token.split(".")[2] as string;
  const credential = basic(berth.key).slice("Basic ".length);
  const secrets = [...lines, "BEGIN PRIVATE KEY", signature, credential.slice(200, 300), credential.slice(-60)];
  for (const secret of secrets) expect(berth.output().includes(secret)).toBe(false);

  const connection = openMetadata(berth.data);
  for (const table of ["audit_log", "outbox", "tag_history", "uploads", "service_account_keys", "users"]) {
    const rows = JSON.stringify(connection.all(`SELECT * FROM ${table}`));
    for (const secret of secrets) expect(rows.includes(secret)).toBe(false);
  }
  connection.close();
});

test("CVE-2024-22244, zot #3844, #4238: no address redirects, to another site least of all", async () => {
  const { berth } = rivals;
  const targets = [
    "//evil.example/",
    "//evil.example/v2/",
    "/\\evil.example/",
    "/%2F%2Fevil.example/",
    "/%5Cevil.example/",
    "/v2/..//evil.example/",
    "/v2//evil.example/manifests/v1",
    "/https://evil.example/",
    "/v2?redirect=//evil.example",
    "/v2/token?redirect_uri=https://evil.example/&service=https://evil.example",
    "/my-project/app",
    "/",
  ];
  for (const target of targets) {
    for (const authorization of [basic(berth.key), ""]) {
      const reply = await rawRequest(berth.port, rawHead(`GET ${target}`, { authorization }));
      expect(Math.floor(reply.status / 100)).not.toBe(3);
      expect(reply.headers.get("location")).toBeNull();
      expect(reply.headers.get("refresh")).toBeNull();
    }
  }
  // What an upload says of where it goes on is a path on this server, whatever host was asked.
  const begun = await callerOf(berth, { host: "evil.example" }).send("POST", "/v2/my-project/app/blobs/uploads/");
  expectReply(begun, { status: 202, headers: { location: /^\/v2\/my-project\/app\/blobs\/uploads\/[0-9a-f.-]+$/ } });
});

test("zot #4131: who may read the metrics learns no name from them", async () => {
  const { berth, nobody } = rivals;
  await pushImage(owner, "my-project/very-secret-name", "metrics", "very-secret-tag");
  await nobody.send("GET", "/v2/my-project/asked-for-by-a-stranger/manifests/v1");
  await nobody.send("BREW", "/v2/my-project/very-secret-name/manifests/v1").catch(() => undefined);
  const { status, text } = await nobody.send("GET", "/metrics");
  expect(status).toBe(200);
  for (const name of [
    "very-secret",
    "asked-for",
    "my-project",
    "strange-project",
    adminEmail,
    "sha256",
    "BREW",
    berth.data,
  ]) {
    expect(text.includes(name)).toBe(false);
  }
  for (const path of ["/healthz", "/readyz"]) {
    const probe = await nobody.send("GET", path);
    expect(probe.status).toBe(200);
    expect(probe.text.includes(berth.data)).toBe(false);
  }
});

test("zot #3980, Quay #2938: no origin is allowed anything, and no reply depends on it", async () => {
  const { nobody } = rivals;
  const digest = `sha256:${"0".repeat(64)}`;
  await pushImage(owner, "my-project/cors", "cors", "v1");
  const requests: [Caller, string, string][] = [
    [nobody, "GET", "/v2/"],
    [owner, "GET", "/v2/"],
    [owner, "GET", "/v2/token"],
    [owner, "GET", "/v2/_catalog"],
    [owner, "GET", "/v2/my-project/cors/manifests/v1"],
    [owner, "GET", "/v2/my-project/cors/manifests/absent"],
    [owner, "GET", `/v2/my-project/cors/blobs/${digest}`],
    [owner, "GET", "/v2/my-project/cors/tags/list"],
    [nobody, "OPTIONS", "/v2/"],
    [nobody, "OPTIONS", "/v2/my-project/cors/manifests/v1"],
    [nobody, "GET", "/nothing"],
    [nobody, "GET", "/healthz"],
  ];
  const changing = new Set(["date", "x-request-id", "content-length"]);
  const headersOf = (headers: Headers): string[] =>
    [...headers].filter(([header]) => !changing.has(header)).map((pair) => pair.join(": "));
  for (const [caller, method, path] of requests) {
    const plain = await caller.send(method, path);
    for (const origin of ["https://evil.example", "null", "http://localhost"]) {
      const asked = {
        origin,
        "access-control-request-method": "GET",
        "access-control-request-headers": "authorization",
      };
      const reply = await caller.send(method, path, { headers: asked });
      expect(reply.status).toBe(plain.status);
      expect(headersOf(reply.headers)).toEqual(headersOf(plain.headers));
      expect([...reply.headers.keys()].filter((header) => header.startsWith("access-control-"))).toEqual([]);
    }
  }
});

test("zot #4204: tags that look like signatures' are tags like any other", async () => {
  const repository = "my-project/signatures";
  const image = await pushImage(owner, repository, "signed", "v1");
  const hex = image.digest.slice("sha256:".length);
  const tags = [
    "sha256-.sig",
    "sha256-zz.sig",
    `sha256-${hex}.sig`,
    `sha256-${hex}`,
    `sha256-${hex}.att.sbom`,
    "sha256-",
    "cosign.sig",
  ];
  for (const tag of tags) {
    const reply = await putManifest(owner, repository, tag, imageOf("signed").document);
    expectReply(reply, { status: 201, headers: { "docker-content-digest": image.digest } });
    expectReply(await owner.send("GET", `/v2/${repository}/manifests/${tag}`), { status: 200 });
  }
  const referrers = await owner.send("GET", `/v2/${repository}/referrers/${image.digest}`);
  expectReply(referrers, { status: 200, json: { manifests: [] } });
  for (const wrong of ["sha256-", "sha256:", "sha256:zz", `sha256:${hex}.sig`]) {
    expectReply(await owner.send("GET", `/v2/${repository}/referrers/${wrong}`), {
      status: 400,
      code: "DIGEST_INVALID",
    });
  }
  for (const tag of tags)
    expectReply(await owner.send("DELETE", `/v2/${repository}/manifests/${tag}`), { status: 202 });
});

test("an artifact whose subject is a digest that is none is refused", async () => {
  const { document, config, layers } = imageOf("bad subject");
  await Promise.all([config, ...layers].map((each: Content) => pushBlob(owner, "my-project/signatures", each)));
  for (const digest of ["", "sha256:", "sha256:zz", "latest", `sha256:${"0".repeat(63)}`]) {
    const subject = { mediaType: "application/vnd.oci.image.manifest.v1+json", digest, size: 1 };
    const reply = await putManifest(owner, "my-project/signatures", "bad", { ...document, subject });
    expectReply(reply, { status: 400, code: "MANIFEST_INVALID" });
  }
});
