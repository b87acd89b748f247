import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Caller, callerOf, type Expected, expectReply } from "../harness/caller.ts";
import { pushImage } from "../harness/content.ts";
import { adminEmail, startWithTenants, type TenantServer } from "../harness/tenants.ts";

let berth: TenantServer;
let caller: Caller;
beforeAll(async () => {
  berth = await startWithTenants([
    { project: "example.com:proj", owners: [adminEmail] },
    // The project of a domain is another than the plain one of its name.
    { project: "proj", owners: ["stranger@proj.iam.gserviceaccount.com"] },
  ]);
  caller = callerOf(berth);
});
afterAll(() => berth.stop());

test("a dot in the first segment makes it a domain, and the second segment the project", async () => {
  const { digest } = await pushImage(caller, "example.com/proj/team/app", "domain", "v1");
  const manifest = await caller.send("GET", "/v2/example.com/proj/team/app/manifests/v1");
  expectReply(manifest, { status: 200, headers: { "docker-content-digest": digest } });
  const root = await caller.send("GET", "/v2/example.com/proj/tags/list");
  expectReply(root, { status: 200, json: { name: "example.com/proj", child: ["team"], manifest: {}, tags: [] } });
  const directory = await caller.send("GET", "/v2/example.com/proj/team/tags/list");
  expectReply(directory, { status: 200, json: { child: ["app"], tags: [] } });
});

test("a token reaches it by its path", async () => {
  const token = await berth.token("repository:example.com/proj/team/app:pull");
  const holder = callerOf(berth, { authorization: `Bearer ${token}` });
  expectReply(await holder.send("GET", "/v2/example.com/proj/team/app/tags/list"), { status: 200 });
  expectReply(await holder.send("GET", "/v2/example.com/proj/team/tags/list"), { status: 401 });
});

describe("refused", () => {
  const invalid: Expected = { status: 400, code: "NAME_INVALID" };
  const rows: [string, string, string, Expected][] = [
    ["a domain alone is no project: its listing", "GET", "/v2/example.com/tags/list", invalid],
    ["a domain alone: a push", "PUT", "/v2/example.com/manifests/v1", invalid],
    ["a domain alone: a catalog scope", "GET", "/v2/example.com/referrers/sha256:0", invalid],
    ["the domain's project itself is no image: a push", "PUT", "/v2/example.com/proj/manifests/v1", invalid],
    ["the domain's project itself: an upload", "POST", "/v2/example.com/proj/blobs/uploads/", invalid],
    ["a plain project itself is no image: a push", "PUT", "/v2/my-project/manifests/v1", invalid],
    ["a plain project itself: an upload", "POST", "/v2/my-project/blobs/uploads/", invalid],
    ["a plain project itself: a pull", "GET", "/v2/my-project/manifests/v1", invalid],
    ["a dot in the project below a domain", "GET", "/v2/example.com/pr.oj/app/tags/list", invalid],
    ["an underscore in a domain", "GET", "/v2/example_x.com/proj/app/tags/list", invalid],
    ["an underscore in a project", "GET", "/v2/my_project/app/tags/list", invalid],
    ["a domain with its colon", "GET", "/v2/example.com:proj/app/tags/list", invalid],
    ["two dots together", "GET", "/v2/example..com/proj/app/tags/list", invalid],
    ["a project of another domain", "GET", "/v2/example.org/proj/app/tags/list", { status: 403, code: "DENIED" }],
    ["the plain project of the same name", "GET", "/v2/proj/app/tags/list", { status: 403, code: "DENIED" }],
  ];
  test.each(rows)("%s", async (_, method, path, expected) => {
    expectReply(await caller.send(method, path), expected);
  });

  test("a scope that names a domain alone, or a project with its colon, gives nothing", async () => {
    for (const name of ["example.com", "example.com:proj/team/app", "example.com/pr.oj/app"]) {
      const token = await berth.token(`repository:${name}:pull`);
      const holder = callerOf(berth, { authorization: `Bearer ${token}` });
      const reply = await holder.send("GET", "/v2/example.com/proj/team/app/tags/list");
      expect(reply.status).toBe(401);
    }
  });
});
