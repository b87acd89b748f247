import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { startBerth, until } from "../harness/berth.ts";
import { basic, bearer, type Caller, callerOf, type Expected, expectReply, type Reply } from "../harness/caller.ts";
import { contentOf, pushBlob, pushImage } from "../harness/content.ts";
import { rawHead, rawRequest } from "../harness/raw-http.ts";
import { startWithTenants } from "../harness/tenants.ts";
import { readToken, signingPairOf, signToken } from "./forged-tokens.ts";
import { type Rivals, startRivals, strangerEmail } from "./rivals.ts";
import { openMetadata } from "../harness/metadata.ts";

/** What Harbor had to mend. */
const app = "my-project/app";
let rivals: Rivals;
let owner: Caller;
beforeAll(async () => {
  rivals = await startRivals();
  ({ owner } = rivals);
  await pushImage(owner, app, "harbor", "v1", "v2", "v3");
});
afterAll(() => rivals.berth.stop());

const tokenOf = ({ text }: Reply): string => (JSON.parse(text) as { token: string }).token;

test("CVE-2019-16097: a field that nobody asked for sets nothing", async () => {
  const { berth, stranger } = rivals;
  const key = berth.keys.get(strangerEmail) as string;
  const wanted = {
    sub: "serviceAccount:owner@my-project.iam.gserviceaccount.com",
    principal: "serviceAccount:owner@my-project.iam.gserviceaccount.com",
    account: "owner@my-project.iam.gserviceaccount.com",
    role: "roles/owner",
    admin: "true",
    has_admin_role: "true",
    access: JSON.stringify([{ type: "repository", name: app, actions: ["*"] }]),
    expires_in: "999999999",
  };
  const form = {
    grant_type: "password",
    username: "_json_key",
    password: key,
    scope: `repository:${app}:pull`,
    ...wanted,
  };
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  const body = new URLSearchParams(form).toString();
  const edited = basic(JSON.stringify({ ...(JSON.parse(key) as object), ...wanted }));
  for (const reply of [
    await rivals.nobody.send("POST", "/v2/token", { body, headers }),
    await stranger.send("GET", `/v2/token?${new URLSearchParams(form)}`),
    await callerOf(berth, { authorization: edited }).send("GET", `/v2/token?scope=repository:${app}:pull`),
  ]) {
    expectReply(reply, { status: 200, json: { expires_in: 3600 } });
    expect(readToken(tokenOf(reply)).claims.sub).toBe(`serviceAccount:${strangerEmail}`);
    const holder = callerOf(berth, { authorization: bearer(tokenOf(reply)) });
    expectReply(await holder.send("GET", `/v2/${app}/manifests/v1`), { status: 403, code: "DENIED" });
  }
});

test("CVE-2019-19025: a credential stands in the Authorization header alone, and no cookie is ever set", async () => {
  const { berth, nobody } = rivals;
  const token = await berth.token(`repository:${app}:pull`);
  const path = `/v2/${app}/manifests/v1`;
  const places: [string, Record<string, string>][] = [
    [path, { cookie: `token=${token}; access_token=${token}; session=${token}; sid=${token}` }],
    [`${path}?access_token=${token}&token=${token}&authorization=Bearer%20${token}`, {}],
    [path, { "x-authorization": bearer(token), "proxy-authorization": bearer(token), "x-auth-token": token }],
    [path, { "x-forwarded-authorization": bearer(token), "x-forwarded-access-token": token }],
  ];
  for (const [where, headers] of places) expectReply(await nobody.send("GET", where, { headers }), { status: 401 });
  for (const caller of [owner, nobody]) {
    for (const each of ["/v2/", "/v2/token", path, "/v2/_catalog", "/healthz"]) {
      expect((await caller.send("GET", each)).headers.get("set-cookie")).toBeNull();
    }
  }
});

describe("CVE-2019-19026, CVE-2019-19029, CVE-2024-22261: what a caller writes is never part of a statement", () => {
  const injections = [
    "'",
    "' OR '1'='1",
    "') OR 1=1 --",
    "x'; DROP TABLE tags; --",
    "' UNION SELECT private_jwk FROM signing_keys --",
    "\\",
    '"',
    "%",
    "_%",
    "v1%00",
    "\u{10ffff}",
    "?1",
    ":name",
  ];
  const own = ["v1", "v2", "v3"];
  const allowed: Expected[] = [{ status: 400 }, { status: 404 }];

  test.each(injections)("%j", async (text) => {
    const value = encodeURIComponent(text);
    const after = own.filter((tag) => Buffer.compare(Buffer.from(tag), Buffer.from(decodeURIComponent(value))) > 0);
    const tags = await owner.send("GET", `/v2/${app}/tags/list?last=${value}`);
    expectReply(tags, { status: 200 });
    expect((JSON.parse(tags.text) as { tags: string[] }).tags).toEqual(after);
    const digest = `sha256:${"0".repeat(64)}`;
    expectReply(await owner.send("GET", `/v2/${app}/referrers/${digest}?artifactType=${value}&last=${value}`), {
      status: 200,
      json: { manifests: [] },
    });
    expect((await owner.send("GET", `/v2/_catalog?last=${value}`)).status).toBe(200);
    for (const path of [
      `/v2/${app}/manifests/${value}`,
      `/v2/${app}/blobs/${value}`,
      `/v2/${app}/blobs/uploads/${value}`,
      `/v2/${app}/blobs/sha256:${value}`,
      `/v2/my-project/${value}/tags/list`,
      `/v2/${value}/app/tags/list`,
      `/v2/_catalog?n=${value}`,
    ]) {
      const { status } = await owner.send("GET", path);
      expect(allowed.map((each) => each.status)).toContain(status);
    }
    expectReply(await owner.send("GET", `/v2/token?scope=repository:${value}:pull&scope=${value}`), { status: 200 });
    expectReply(await owner.send("GET", `/v2/${app}/tags/list`), { status: 200, json: { tags: own } });
  });
});

describe("CVE-2019-19030, CVE-2020-13794: what is not there and what may not be seen are told alike", () => {
  const digest = `sha256:${"0".repeat(64)}`;
  const secret = contentOf("secret");
  beforeAll(() => pushBlob(owner, app, secret));

  /** A place that is there, and one that is not; both are the owner's business alone. */
  const pairs: [string, string, string, string][] = [
    ["a repository's listing", "GET", `/v2/${app}/tags/list`, "/v2/my-project/nothing/tags/list"],
    ["a project's listing", "GET", "/v2/my-project/tags/list", "/v2/no-such-project/tags/list"],
    ["a manifest", "GET", `/v2/${app}/manifests/v1`, `/v2/${app}/manifests/nothing`],
    ["a manifest by HEAD", "HEAD", `/v2/${app}/manifests/v1`, `/v2/${app}/manifests/nothing`],
    ["a manifest of another project", "GET", `/v2/${app}/manifests/v1`, "/v2/no-such-project/app/manifests/v1"],
    ["a manifest's delete", "DELETE", `/v2/${app}/manifests/v1`, `/v2/${app}/manifests/nothing`],
    ["a manifest's push", "PUT", `/v2/${app}/manifests/v1`, "/v2/no-such-project/app/manifests/v1"],
    ["a blob", "GET", `/v2/${app}/blobs/${secret.digest}`, `/v2/${app}/blobs/${digest}`],
    ["a blob's delete", "DELETE", `/v2/${app}/blobs/${secret.digest}`, `/v2/${app}/blobs/${digest}`],
    ["an upload's begin", "POST", `/v2/${app}/blobs/uploads/`, "/v2/no-such-project/app/blobs/uploads/"],
    [
      "a referrers' list",
      "GET",
      `/v2/${app}/referrers/${secret.digest}`,
      `/v2/no-such-project/app/referrers/${digest}`,
    ],
    [
      "a mount",
      "POST",
      `/v2/strange-project/x/blobs/uploads/?mount=${secret.digest}&from=${app}`,
      `/v2/strange-project/x/blobs/uploads/?mount=${secret.digest}&from=no-such-project/app`,
    ],
  ];
  const changing = new Set(["date", "x-request-id", "content-length", "location", "docker-upload-uuid"]);
  /** A reply without what names the request itself. */
  const told = ({ status, headers, text }: Reply, path: string): unknown => {
    const name = /^\/v2\/(.+)\/(?:manifests|blobs|tags|referrers)\//.exec(path)?.[1] ?? path;
    const reference = (path.split("/").at(-1) as string).split("?")[0] || path;
    const anonymous = (value: string): string =>
      value.replaceAll(path, "PATH").replaceAll(name, "NAME").replaceAll(reference, "REF");
    const rest = [...headers]
      .filter(([header]) => !changing.has(header))
      .map(([header, value]) => [header, anonymous(value)]);
    return { status, rest, text: anonymous(text) };
  };
  test.each(pairs)("%s", async (_, method, there, absent) => {
    for (const caller of [rivals.stranger, rivals.nobody]) {
      const [one, other] = [await caller.send(method, there), await caller.send(method, absent)];
      expect(told(one, there)).toEqual(told(other, absent));
    }
  });

  test("an account, a key: whichever part of a credential is wrong", async () => {
    const file = JSON.parse(rivals.berth.key) as Record<string, string>;
    const other = JSON.parse(rivals.berth.keys.get(strangerEmail) as string) as Record<string, string>;
    const wrong = [
      { ...file, private_key_id: "0".repeat(40) },
      { ...file, client_email: "nobody@my-project.iam.gserviceaccount.com" },
      { ...file, client_email: strangerEmail },
      { ...file, private_key: other.private_key },
      { ...file, private_key: "x" },
      { ...other, private_key_id: file.private_key_id },
    ];
    const replies: unknown[] = [];
    for (const each of wrong) {
      const caller = callerOf(rivals.berth, { authorization: basic(JSON.stringify(each)) });
      replies.push(told(await caller.send("GET", "/v2/"), "/v2/"));
    }
    // CVE-2023-20902: no answer tells how far a guess was right.
    for (const reply of replies) expect(reply).toEqual(replies[0]);
  });

  test("a token's exchange: a pull of what is there and of what is not", async () => {
    const actions: string[] = [];
    for (const name of [app, "my-project/nothing", "no-such-project/app"]) {
      const reply = await rivals.stranger.send("GET", `/v2/token?scope=repository:${name}:pull,delete`);
      expectReply(reply, { status: 200 });
      actions.push(JSON.stringify(readToken(tokenOf(reply)).claims.access));
    }
    expect(actions).toEqual(["[]", "[]", "[]"]);
  });
});

describe("CVE-2020-29662: no other spelling of an address is open", () => {
  const targets = ["_catalog", `${app}/tags/list`, `${app}/manifests/v1`];
  const spellings: ((path: string) => string)[] = [
    (path) => `/v2/${path}`,
    (path) => `/v2/${path}/`,
    (path) => `//v2/${path}`,
    (path) => `/v2//${path}`,
    (path) => `/./v2/./${path}`,
    (path) => `/x/../v2/${path}`,
    (path) => `/healthz/../v2/${path}`,
    (path) => `/healthz/%2e%2e/v2/${path}`,
    (path) => `/healthz;/../v2/${path}`,
    (path) => `/healthz/..\\v2/${path}`,
    (path) => `/V2/${path}`,
    (path) => `/v2%2f${path}`,
    (path) => `/%762/${path}`,
    (path) => `/v2/%5f${path.slice(1)}`,
    (path) => `/v2/${path}%00`,
    (path) => `/v2/${path}%20`,
    (path) => `/v2/${path};x`,
    (path) => `/v2/${path}?x=/healthz`,
    (path) => `/v2/${path}#/healthz`,
    (path) => `http://localhost/v2/${path}`,
    (path) => `/healthz?/../v2/${path}`,
    (path) => `/metrics/v2/${path}`,
  ];
  test.each(targets)("/v2/%s", async (target) => {
    for (const spell of spellings) {
      for (const method of ["GET", "HEAD"]) {
        const { status, body } = await rawRequest(rivals.berth.port, rawHead(`${method} ${spell(target)}`), {
          halfClose: true,
        }).catch(() => ({ status: 400, body: Buffer.alloc(0) }));
        // The probes answer anybody, and say nothing of what is stored.
        if (status === 200) expect(body.toString()).toBe("ok\n");
        else expect([400, 401, 404]).toContain(status);
      }
    }
  });
});

describe("CVE-2022-31666 to CVE-2022-31671, CVE-2026-32589 (Quay): an upload is its repository's and its principal's", () => {
  const begin = async (caller: Caller, repository: string, host?: string): Promise<string> => {
    const headers: Record<string, string> = host === undefined ? {} : { host };
    const reply = await caller.send("POST", `/v2/${repository}/blobs/uploads/`, { headers });
    expectReply(reply, { status: 202 });
    return reply.headers.get("location") as string;
  };
  const unknown: Expected = { status: 404, code: "BLOB_UPLOAD_UNKNOWN" };
  const bytes = contentOf("whose upload");

  /** Tries everything that can be done with an upload. */
  async function expectUnknown(caller: Caller, location: string, headers: Record<string, string> = {}): Promise<void> {
    for (const method of ["GET", "PATCH", "DELETE"]) {
      const body = method === "PATCH" ? { body: "bytes of another" } : {};
      expectReply(await caller.send(method, location, { headers, ...body }), unknown);
    }
    const end = `${location}?digest=${bytes.digest}`;
    expectReply(await caller.send("PUT", end, { headers, body: bytes.bytes }), unknown);
  }

  test("another repository's: of the same project, of another, of another host", async () => {
    const location = await begin(owner, app);
    const tail = location.split("/").at(-1) as string;
    for (const name of ["my-project/other", "my-project/app/below", "my-project/ap"]) {
      await expectUnknown(owner, `/v2/${name}/blobs/uploads/${tail}`);
      await pushBlob(owner, name, contentOf(name));
      await expectUnknown(owner, `/v2/${name}/blobs/uploads/${tail}`);
    }
    await expectUnknown(rivals.stranger, `/v2/strange-project/app/blobs/uploads/${tail}`);
    await expectUnknown(owner, location, { host: "us.gcr.io" });
    expectReply(await owner.send("PUT", `${location}?digest=${bytes.digest}`, { body: bytes.bytes }), { status: 201 });
  });

  test("another principal's, in a project that both own", async () => {
    const [one, two] = ["one@shared-project.iam.gserviceaccount.com", "two@shared-project.iam.gserviceaccount.com"];
    const shared = await startWithTenants([{ project: "shared-project", owners: [one as string, two as string] }]);
    try {
      const [first, second] = [one, two].map((email) =>
        callerOf(shared, { authorization: basic(shared.keys.get(email as string) as string) }),
      ) as [Caller, Caller];
      const location = await begin(first, "shared-project/app");
      await expectUnknown(second, location);
      const exchanged = await second.send("GET", "/v2/token?scope=repository:shared-project/app:pull,push,delete");
      await expectUnknown(callerOf(shared, { authorization: bearer(tokenOf(exchanged)) }), location);
      // The first goes on as if nothing had been tried, with a token of its own too.
      const own = await first.send("GET", "/v2/token?scope=repository:shared-project/app:push");
      const holder = callerOf(shared, { authorization: bearer(tokenOf(own)) });
      expectReply(await holder.send("GET", location), { status: 204, headers: { range: "0-0" } });
    } finally {
      await shared.stop();
    }
  });
});

test("CVE-2025-30086: a parameter that is not the API's filters nothing and shows nothing", async () => {
  for (const path of ["/v2/_catalog", `/v2/${app}/tags/list`]) {
    const plain = await owner.send("GET", path);
    for (const query of [
      "q=password=~x",
      "q=public_key%3D~M",
      "sort=-created_at",
      "filter=1",
      "fields=*",
      "page=2&page_size=1",
    ]) {
      expectReply(await owner.send("GET", `${path}?${query}`), { status: 200, text: plain.text });
    }
  }
});

test("CVE-2025-32019: nothing that was pushed is shown by a browser as a page of this site", async () => {
  const html = contentOf("<!doctype html><script>alert(document.domain)</script>");
  await pushBlob(owner, app, html);
  const headers = { "content-type": "application/octet-stream", "content-disposition": /^attachment/ };
  expectReply(await owner.send("GET", `/v2/${app}/blobs/${html.digest}`), { status: 200, headers });
  const pushed = await pushImage(owner, app, "<script>alert(1)</script>", "v9");
  const manifest = await owner.send("GET", `/v2/${app}/manifests/${pushed.digest}`);
  expectReply(manifest, {
    status: 200,
    headers: { "content-type": /^application\/vnd\.oci\.image\.manifest\.v1\+json$/ },
  });
  for (const path of ["/v2/<script>alert(1)</script>/x/manifests/v1", `/v2/${app}/manifests/<script>`, "/<script>"]) {
    const reply = await owner.send("GET", path);
    expect(reply.headers.get("content-type")).toMatch(/^application\/json\b/);
  }
  expectReply(await owner.send("DELETE", `/v2/${app}/manifests/v9`), { status: 202 });
});

test("CVE-2026-4404: no key and no password is there by default", async () => {
  const [one, two] = await Promise.all([startBerth(), startBerth()]);
  try {
    const password = (output: string): string => /password (\S+)/.exec(output)?.[1] ?? "none";
    const secrets = [one, two].map((berth) => {
      const { private_key, private_key_id } = JSON.parse(berth.key) as Record<string, string>;
      return [private_key, private_key_id, password(berth.output()), signingPairOf(berth).privateJwk.d];
    });
    const flat = secrets.flat();
    expect(new Set(flat).size).toBe(flat.length);
    expect(flat).not.toContain("none");
    expect(password(one.output()).length).toBeGreaterThanOrEqual(16);
    expectReply(await callerOf(one, { authorization: basic(two.key) }).send("GET", "/v2/"), { status: 401 });
    for (const [user, secret] of ["admin:admin", "admin:password", "admin:Harbor12345", "admin:", "root:root"].map(
      (pair) => pair.split(":"),
    )) {
      expectReply(await callerOf(one, { authorization: basic(secret as string, user) }).send("GET", "/v2/"), {
        status: 401,
      });
    }
  } finally {
    await Promise.all([one.stop(), two.stop()]);
  }
});

describe("Harbor #22900, #23270: a credential of before does not reach a project that took the name later", () => {
  test("neither its images, nor as the source of a mount, nor by an exchange for a fresh one", async () => {
    const { berth } = rivals;
    const { header, claims } = readToken(await berth.token());
    const { privateJwk } = signingPairOf(berth);
    // As it is made where the id was another project's.
    const database = openMetadata(berth.data);
    database.run("UPDATE projects SET credentials_since = created_at WHERE id = 'my-project'");
    database.run("UPDATE versions SET value = value + 1 WHERE name = 'projects'");
    const row = database.get("SELECT created_at FROM projects WHERE id = 'my-project'") as {
      created_at: number;
    };
    database.close();
    const blob = contentOf("of the project that took the name");
    await pushBlob(owner, "my-project/recreated", blob);
    await pushImage(owner, app, "harbor", "v1");
    const born = Math.floor(row.created_at / 1000);
    const access = ["my-project/app", "my-project/recreated", "my-project/target"].map((name) => ({
      type: "repository",
      name,
      actions: ["pull", "push", "delete"],
    }));
    const sign = (iat: number): Promise<string> =>
      signToken({ ...claims, iat, access }, privateJwk, { kid: header.kid });
    const mount = `/v2/my-project/target/blobs/uploads/?mount=${blob.digest}&from=my-project/recreated`;
    const before = callerOf(berth, { authorization: bearer(await sign(born - 1)) });
    for (const [method, path] of [
      ["GET", `/v2/${app}/manifests/v1`],
      ["GET", `/v2/${app}/tags/list`],
      ["PUT", `/v2/${app}/manifests/v1`],
      ["DELETE", `/v2/${app}/manifests/v1`],
      ["POST", mount],
    ] as const) {
      expectReply(await before.send(method, path), { status: 401, code: "UNAUTHORIZED" });
    }
    const exchanged = await before.send("GET", `/v2/token?scope=repository:${app}:pull,push`);
    if (exchanged.status === 200) {
      const fresh = callerOf(berth, { authorization: bearer(tokenOf(exchanged)) });
      expectReply(await fresh.send("GET", `/v2/${app}/manifests/v1`), { status: 401 });
    }
    // One of the project's own time does.
    const after = callerOf(berth, { authorization: bearer(await sign(born + 1)) });
    expectReply(await after.send("GET", `/v2/${app}/manifests/v1`), { status: 200 });
    expectReply(await after.send("POST", mount), { status: 201 });
  });

  test("a project that is made again under a running server", async () => {
    const { berth } = rivals;
    const token = await berth.token(`repository:${app}:pull`);
    const holder = callerOf(berth, { authorization: bearer(token) });
    expectReply(await holder.send("GET", `/v2/${app}/tags/list`), { status: 200 });
    const database = openMetadata(berth.data);
    const born = (Number(readToken(token).claims.iat) + 1) * 1000;
    const { credentials_since } = database.get("SELECT credentials_since FROM projects WHERE id = 'my-project'") as {
      credentials_since: number;
    };
    const remake = (at: number): void => {
      database.run("UPDATE projects SET credentials_since = ? WHERE id = 'my-project'", [at]);
      database.run("UPDATE versions SET value = value + 1 WHERE name = 'projects'");
    };
    try {
      remake(born);
      expectReply(await holder.send("GET", `/v2/${app}/tags/list`), { status: 401 });
      // Tokens count in seconds: the next one is of the new project's time.
      await until(() => Date.now() >= born || undefined);
      const fresh = bearer(await berth.token(`repository:${app}:pull`));
      expectReply(await callerOf(berth, { authorization: fresh }).send("GET", `/v2/${app}/tags/list`), { status: 200 });
      expectReply(await holder.send("GET", `/v2/${app}/tags/list`), { status: 401 });
    } finally {
      remake(credentials_since);
      database.close();
    }
  });
});
