import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { basic, bearer, type Caller, callerOf, type Expected, expectReply } from "../harness/caller.ts";
import { contentOf, pushBlob, pushImage } from "../harness/content.ts";
import { adminEmail, startWithTenants, type TenantServer } from "../harness/tenants.ts";

const stranger = "stranger@strange-project.iam.gserviceaccount.com";
/** In byte order: `-` stands before `/`. */
const visible = [
  "example.com/proj/app",
  "my-project/a",
  "my-project/a-b",
  "my-project/a/b",
  "my-project/a/b/c",
  "my-project/b",
  "my-project-two/app",
  "sister-project/app",
].sort();

let berth: TenantServer;
let caller: Caller;
beforeAll(async () => {
  berth = await startWithTenants([
    { project: "my-project-two", owners: [adminEmail] },
    { project: "sister-project", owners: [adminEmail] },
    { project: "example.com:proj", owners: [adminEmail] },
    { project: "strange-project", owners: [stranger] },
  ]);
  caller = callerOf(berth);
  for (const name of visible) await pushImage(caller, name, "catalog", "v1");
  await pushImage(callerOf(berth, { host: "eu.gcr.io" }), "my-project/european", "catalog", "v1");
  const other = callerOf(berth, { authorization: basic(berth.keys.get(stranger) as string) });
  await pushImage(other, "strange-project/secret", "catalog", "v1");
  await pushBlob(caller, "my-project/only-a-blob", contentOf("no manifest"));
});
afterAll(() => berth.stop());

interface Catalog {
  repositories: string[];
}

describe("what is listed", () => {
  test("the repositories of every project that the caller can see, on the host that was asked, in byte order", async () => {
    const expected = { status: 200, headers: { link: null, "content-type": /^application\/json\b/ } };
    const reply = await caller.send("GET", "/v2/_catalog");
    expectReply(reply, expected);
    expect(JSON.parse(reply.text)).toEqual({ repositories: visible });
  });

  test("each host has its own", async () => {
    for (const [host, repositories] of [
      ["eu.gcr.io", ["my-project/european"]],
      ["us.gcr.io", []],
      ["gcr.io", visible],
    ] as const) {
      const reply = await callerOf(berth, { host }).send("GET", "/v2/_catalog");
      expect(JSON.parse(reply.text) as Catalog).toEqual({ repositories: [...repositories] });
    }
  });

  test("another principal sees its own and nothing else", async () => {
    const other = callerOf(berth, { authorization: basic(berth.keys.get(stranger) as string) });
    const reply = await other.send("GET", "/v2/_catalog");
    expect(JSON.parse(reply.text)).toEqual({ repositories: ["strange-project/secret"] });
    // Neither does asking for the place where others' begin.
    const after = await other.send("GET", "/v2/_catalog?last=my-project/a&n=100");
    expect(JSON.parse(after.text)).toEqual({ repositories: ["strange-project/secret"] });
  });

  test("a repository whose last manifest was deleted is no longer there", async () => {
    const { digest } = await pushImage(caller, "my-project/zz-emptied", "emptied", "v1");
    expectReply(await caller.send("DELETE", `/v2/my-project/zz-emptied/manifests/${digest}`), { status: 202 });
    expect((await caller.send("GET", "/v2/_catalog")).text).not.toContain("zz-emptied");
  });
});

describe("pages", () => {
  test.each([1, 2, 3, visible.length - 1, visible.length, visible.length + 1])("of %p", async (n) => {
    const pages: string[][] = [];
    for (let path: string | undefined = `/v2/_catalog?n=${n}`; path !== undefined;) {
      const reply = await caller.send("GET", path);
      expectReply(reply, { status: 200 });
      pages.push((JSON.parse(reply.text) as Catalog).repositories);
      const link = reply.headers.get("link");
      path = link === null ? undefined : /^<(\/v2\/_catalog\?[^>]+)>; rel="next"$/.exec(link)?.[1];
      if (link !== null && path === undefined) throw new Error(`not a Link: ${link}`);
    }
    expect(pages.flat()).toEqual(visible);
    expect(pages.length).toBe(Math.ceil(visible.length / n));
    expect(pages[0]).toHaveLength(Math.min(n, visible.length));
  });

  const rows: [string, Expected & { repositories?: string[] }][] = [
    ["n=0", { status: 200, headers: { link: null }, json: { repositories: [] } }],
    ["n=2147483648", { status: 200, headers: { link: null }, json: { repositories: visible } }],
    ["n=999999999999999", { status: 200, headers: { link: null }, json: { repositories: visible } }],
    ["last=my-project/a", { status: 200, json: { repositories: visible.filter((name) => name > "my-project/a") } }],
    ["last=my-project/aa", { status: 200, json: { repositories: visible.filter((name) => name > "my-project/aa") } }],
    ["last=zzz", { status: 200, headers: { link: null }, json: { repositories: [] } }],
    ["last=my-project/b&n=1", { status: 200, json: { repositories: ["sister-project/app"] } }],
    ["n=-1", { status: 400, code: "PAGINATION_INVALID" }],
    ["n=1.5", { status: 400, code: "PAGINATION_INVALID" }],
    ["n=", { status: 400, code: "PAGINATION_INVALID" }],
    ["n=ten", { status: 400, code: "PAGINATION_INVALID" }],
    ["n=0x10", { status: 400, code: "PAGINATION_INVALID" }],
    ["n=99999999999999999999", { status: 400, code: "PAGINATION_INVALID" }],
  ];
  test.each(rows)("?%s", async (query, expected) => {
    expectReply(await caller.send("GET", `/v2/_catalog?${query}`), expected);
  });
});

describe("who may", () => {
  const challenge = (error = "") => ({
    "www-authenticate": `Bearer realm="http://127.0.0.1:${berth.port}/v2/token",service="127.0.0.1",scope="registry:catalog:*"${error}`,
  });
  test("nobody: a challenge", async () => {
    const reply = await callerOf(berth, { authorization: null }).send("GET", "/v2/_catalog");
    expectReply(reply, { status: 401, code: "UNAUTHORIZED", headers: challenge() });
  });
  test("a token for repositories only: a challenge", async () => {
    const token = await berth.token("repository:my-project/*:pull", "repository:my-project/a:pull,push,delete");
    const reply = await callerOf(berth, { authorization: bearer(token) }).send("GET", "/v2/_catalog");
    expectReply(reply, { status: 401, code: "UNAUTHORIZED", headers: challenge(',error="insufficient_scope"') });
  });
  test("a token for the catalog; it opens nothing else", async () => {
    const holder = callerOf(berth, { authorization: bearer(await berth.token("registry:catalog:*")) });
    expectReply(await holder.send("GET", "/v2/_catalog"), { status: 200, json: { repositories: visible } });
    expectReply(await holder.send("GET", "/v2/my-project/a/tags/list"), { status: 401 });
    expectReply(await holder.send("GET", "/v2/my-project/a/manifests/v1"), { status: 401 });
  });
});
