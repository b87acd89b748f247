import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { startBerth, until } from "../harness/berth.ts";
import { bearer, type Caller, callerOf, expectReply } from "../harness/caller.ts";
import { contentOf, imageOf, pushBlob, pushImage, putManifest } from "../harness/content.ts";
import { mediaTypes } from "../harness/image-layout.ts";
import { rawHead, rawRequest } from "../harness/raw-http.ts";
import { type Rivals, startRivals } from "./rivals.ts";
import { openMetadata } from "../harness/metadata.ts";

/** What Quay, Clair and Gitea had to mend. */
let rivals: Rivals;
let owner: Caller;
beforeAll(async () => {
  rivals = await startRivals();
  ({ owner } = rivals);
});
afterAll(() => rivals.berth.stop());

test("CVE-2025-4374: a pull makes nothing, and its caller the owner of nothing", async () => {
  const { berth, stranger, nobody } = rivals;
  const tables = ["registries", "repositories", "policies", "projects"];
  const count = (): unknown => {
    const database = openMetadata(berth.data);
    const rows = tables.map((table) => database.get(`SELECT count(*) AS n FROM ${table}`));
    database.close();
    return rows;
  };
  const before = count();
  const digest = `sha256:${"0".repeat(64)}`;
  for (const caller of [owner, stranger, nobody]) {
    for (const project of ["my-project", "strange-project", "no-such-project"]) {
      for (const path of [
        "manifests/v1",
        `manifests/${digest}`,
        `blobs/${digest}`,
        `referrers/${digest}`,
        "tags/list",
      ]) {
        const headers = { host: "asia.gcr.io" };
        await caller.send("GET", `/v2/${project}/first-pull/${path}`, { headers });
        await caller.send("HEAD", `/v2/${project}/first-pull/${path}`, { headers });
      }
      await caller.send("GET", `/v2/token?scope=repository:${project}/first-pull:pull`);
      await caller.send("DELETE", `/v2/${project}/first-pull/manifests/v1`);
      await caller.send("DELETE", `/v2/${project}/first-pull/blobs/${digest}`);
    }
  }
  // A push that is refused makes nothing either.
  for (const caller of [stranger, nobody]) {
    await caller.send("POST", "/v2/my-project/first-push/blobs/uploads/");
    await caller.send("PUT", "/v2/my-project/first-push/manifests/v1", { body: "{}" });
    await caller.send("GET", "/v2/token?scope=repository:my-project/first-push:push");
  }
  expect(count()).toEqual(before);
});

test("PROJQUAY-11190: of an upload nothing is kept that could be run, only numbers, names and digests", async () => {
  const begun = await owner.send("POST", "/v2/my-project/state/blobs/uploads/");
  const sent = await owner.send("PATCH", begun.headers.get("location") as string, { body: "x".repeat(100_000) });
  expectReply(sent, { status: 202 });
  const database = openMetadata(rivals.berth.data);
  for (const table of ["uploads", "upload_segments"]) {
    const rows = database.all(`SELECT * FROM ${table}`) as Record<string, unknown>[];
    expect(rows.length).toBeGreaterThan(0);
    for (const value of rows.flatMap((row) => Object.values(row))) {
      if (typeof value === "string") expect(value).toMatch(/^[A-Za-z0-9:@._-]{1,120}$/);
      else expect(value === null || Number.isInteger(value)).toBe(true);
    }
  }
  database.close();
});

describe("PROJQUAY-10573: no parser takes longer than its input's length warrants", () => {
  const long = 12_000;
  const digest = `sha256:${"0".repeat(64)}`;
  const evil: [string, string][] = [
    ["a name of dashes", `/v2/my-project/a${"-".repeat(240)}!/manifests/v1`],
    ["a name of separators", `/v2/my-project/${"a-".repeat(120)}/manifests/v1`],
    ["a name of dots and dashes", `/v2/my-project/${"a.a-a_a__".repeat(27)}!/manifests/v1`],
    ["a domain of dashes", `/v2/a${"-a".repeat(60)}.${"a-".repeat(60)}/x/manifests/v1`],
    ["slashes", `/v2/${"/".repeat(long)}`],
    ["words of the grammar", `/v2/${"blobs/uploads/manifests/tags/list/".repeat(300)}`],
    ["a tag", `/v2/my-project/a/manifests/${"a.".repeat(long / 2)}!`],
    ["a digest", `/v2/my-project/a/blobs/sha256:${"0".repeat(long)}`],
    ["escapes", `/v2/my-project/a/manifests/${"%25".repeat(long / 3)}`],
    ["a scope of colons", `/v2/token?scope=repository${":a".repeat(long / 2)}`],
    ["a scope of actions", `/v2/token?scope=repository:my-project/a:${"pull,".repeat(long / 5)}`],
    ["a scope of brackets", `/v2/token?scope=repository(${"a".repeat(long)}`],
    ["a scope of blanks", `/v2/token?scope=${"%20".repeat(long / 3)}`],
    ["an n of digits", `/v2/_catalog?n=${"9".repeat(long)}`],
    ["an n of blanks", `/v2/_catalog?n=${"+".repeat(long)}1x`],
    ["an upload of dashes", `/v2/my-project/a/blobs/uploads/${"-".repeat(long)}.0`],
    ["a mount from dashes", `/v2/my-project/a/blobs/uploads/?mount=${digest}&from=my-project/a${"-".repeat(long)}!`],
  ];
  const headers: [string, Record<string, string>][] = [
    ["If-None-Match of commas", { "if-none-match": ",".repeat(long) }],
    ["If-None-Match of quotes", { "if-none-match": '"'.repeat(long) }],
    ["Range of digits", { range: `bytes=${"1".repeat(long)}-` }],
    ["Range of ranges", { range: `bytes=${"0-1,".repeat(long / 4)}` }],
    ["Range of blanks", { range: `bytes=${" ".repeat(long)}0-1` }],
    ["Content-Range of digits", { "content-range": `bytes ${"1".repeat(long / 2)}-${"1".repeat(long / 2)}` }],
    ["Authorization of blanks", { authorization: `Basic${" ".repeat(long)}x` }],
    ["Authorization of dots", { authorization: `Bearer ${".".repeat(long)}` }],
    [
      "Authorization of brackets",
      { authorization: `Basic ${Buffer.from(`_json_key:${"[".repeat(9000)}`).toString("base64")}` },
    ],
    ["Content-Type of semicolons", { "content-type": ";".repeat(long) }],
    ["Host of dots", { host: ".".repeat(long) }],
    ["Host of colons", { host: ":".repeat(long) }],
  ];
  /** Far more than any of these takes, far less than what doubles with each character. */
  const limit = 2000;
  const within = async (work: () => Promise<unknown>): Promise<void> => {
    const begun = performance.now();
    await work();
    expect(performance.now() - begun).toBeLessThan(limit);
    expectReply(await owner.send("GET", "/v2/"), { status: 200 });
  };

  test.each(evil)("%s", async (_, path) => {
    for (const method of ["GET", "POST"]) {
      await within(async () => {
        const { status } = await owner.send(method, path);
        expect(status).toBeLessThan(500);
      });
    }
  });
  test.each(headers)("%s", async (_, sent) => {
    for (const [method, path] of [
      ["GET", `/v2/my-project/a/blobs/${digest}`],
      ["PUT", "/v2/my-project/a/manifests/v1"],
      ["PATCH", `/v2/my-project/a/blobs/uploads/${crypto.randomUUID()}.0`],
    ] as const) {
      await within(async () => {
        const { status } = await rawRequest(rivals.berth.port, rawHead(`${method} ${path}`, sent));
        expect(status).toBeLessThan(500);
      });
    }
  });
});

test("CVE-2026-10517 (Clair): no address that a manifest names is ever called", async () => {
  let calls = 0;
  const site = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch() {
      calls++;
      return new Response("called");
    },
  });
  try {
    const { config, document } = imageOf("addresses");
    await pushBlob(owner, "my-project/urls", config);
    const urls = [`${site.url}layer`];
    const absent = contentOf("called");
    const layers = [mediaTypes.foreignLayer, mediaTypes.gzip].map((mediaType) => ({
      mediaType,
      digest: absent.digest,
      size: absent.size,
      urls,
    }));
    const foreign = {
      ...document,
      layers: layers.slice(0, 1),
      annotations: { "org.opencontainers.image.source": `${site.url}source` },
    };
    expectReply(await putManifest(owner, "my-project/urls", "v1", foreign), { status: 201 });
    // A layer that the registry should hold is not fetched, but missed.
    expectReply(await putManifest(owner, "my-project/urls", "v2", { ...document, layers }), {
      status: 404,
      code: "MANIFEST_BLOB_UNKNOWN",
    });
    expectReply(await owner.send("GET", `/v2/my-project/urls/blobs/${absent.digest}`), { status: 404 });
    expectReply(await owner.send("GET", "/v2/my-project/urls/tags/list"), { status: 200 });
    expect(calls).toBe(0);
  } finally {
    await site.stop(true);
  }
});

describe("CVE-2025-68944 (Gitea): what a token was made for holds on every address", () => {
  test("a token to pull changes nothing, by whatever way", async () => {
    const repository = "my-project/scoped";
    const { digest } = await pushImage(owner, repository, "scoped", "v1");
    const loose = contentOf("a blob without a manifest");
    await pushBlob(owner, repository, loose);
    const begun = await owner.send("POST", `/v2/${repository}/blobs/uploads/`);
    const upload = begun.headers.get("location") as string;
    const holder = callerOf(rivals.berth, {
      authorization: bearer(await rivals.berth.token(`repository:${repository}:pull`)),
    });
    const { document } = imageOf("scoped", { annotations: { changed: "yes" } });
    const writes: [string, string, string?][] = [
      ["PUT", `/v2/${repository}/manifests/v1`, JSON.stringify(document)],
      ["PUT", `/v2/${repository}/manifests/${digest}?tag=v2`, JSON.stringify(imageOf("scoped").document)],
      ["DELETE", `/v2/${repository}/manifests/v1`],
      ["DELETE", `/v2/${repository}/manifests/${digest}`],
      ["DELETE", `/v2/${repository}/blobs/${loose.digest}`],
      ["POST", `/v2/${repository}/blobs/uploads/`],
      ["POST", `/v2/${repository}/blobs/uploads/?digest=${contentOf("x").digest}`, "x"],
      ["POST", `/v2/${repository}/blobs/uploads/?mount=${loose.digest}&from=${repository}`],
      ["PATCH", upload, "x"],
      ["PUT", `${upload}?digest=${contentOf("x").digest}`, "x"],
      ["DELETE", upload],
    ];
    for (const [method, path, body] of writes) {
      // Where methods can be overridden by a header, a guard on the method is none.
      for (const headers of [{}, { "x-http-method-override": "GET" }, { "x-http-method": "GET" }] as Record<
        string,
        string
      >[]) {
        const reply = await holder.send(method, path, { headers, ...(body === undefined ? {} : { body }) });
        expectReply(reply, { status: 401, code: "UNAUTHORIZED" });
      }
      const override = { "x-http-method-override": method, "x-http-method": method, "x-method-override": method };
      await holder.send("GET", path, { headers: override });
    }
    const list = await owner.send("GET", `/v2/${repository}/tags/list`);
    expectReply(list, { status: 200, json: { tags: ["v1"] } });
    expectReply(await owner.send("HEAD", `/v2/${repository}/manifests/v1`), {
      status: 200,
      headers: { "docker-content-digest": digest },
    });
    expectReply(await owner.send("HEAD", `/v2/${repository}/blobs/${loose.digest}`), { status: 200 });
    expectReply(await owner.send("GET", upload), { status: 204, headers: { range: "0-0" } });
  });
});

describe("CVE-2026-20896 (Gitea): what a proxy says counts from a configured proxy only", () => {
  const claims = {
    "x-forwarded-host": "us.gcr.io",
    "x-forwarded-proto": "https",
    "x-forwarded-for": "10.9.8.7",
    forwarded: "for=10.9.8.7;host=us.gcr.io;proto=https",
    "x-original-host": "us.gcr.io",
    "x-host": "us.gcr.io",
    "x-real-ip": "10.9.8.7",
    "x-original-url": "/healthz",
    "x-rewrite-url": "/healthz",
    "x-remote-user": "owner@my-project.iam.gserviceaccount.com",
    "x-webauth-user": "owner@my-project.iam.gserviceaccount.com",
    "x-forwarded-user": "owner@my-project.iam.gserviceaccount.com",
    "x-goog-authenticated-user-email": "accounts.google.com:owner@my-project.iam.gserviceaccount.com",
    "x-goog-iap-jwt-assertion": "x",
  };

  test.each([
    ["none is configured", []],
    ["another address is configured", ["--trusted-proxies", "192.0.2.1"]],
  ])("not the host, the scheme, the user or the address: %s", async (_, args) => {
    const berth = await startBerth({ args });
    try {
      const [sender, nobody] = [callerOf(berth), callerOf(berth, { authorization: null })];
      const challenge = `Bearer realm="http://127.0.0.1:${berth.port}/v2/token",service="127.0.0.1"`;
      const asked = { status: 401, headers: { "www-authenticate": challenge } };
      expectReply(await nobody.send("GET", "/v2/", { headers: claims }), asked);
      expectReply(await nobody.send("GET", "/v2/_catalog", { headers: claims }), { status: 401 });
      await pushImage(sender, "my-project/forwarded", "forwarded", "v1");
      const path = "/v2/my-project/forwarded/manifests/v1";
      expectReply(await sender.send("GET", path, { headers: claims }), { status: 200 });
      const mark = `/v2/my-project/${crypto.randomUUID()}/tags/list`;
      await sender.send("GET", mark, { headers: claims });
      await until(() => berth.output().includes(mark) || undefined);
      expect(berth.output().includes("10.9.8.7")).toBe(false);
    } finally {
      await berth.stop();
    }
  });
});
