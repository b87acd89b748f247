import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { bearer, type Caller, callerOf, expectReply, type Reply } from "../harness/caller.ts";
import { type Content, contentOf, imageOf, pushBlob, putManifest } from "../harness/content.ts";
import { adminEmail, startWithTenants, type TenantServer } from "../harness/tenants.ts";

const source = "my-project/mounts/source";
const algorithms = ["sha256", "sha512"] as const;

let berth: TenantServer;
let caller: Caller;
beforeAll(async () => {
  berth = await startWithTenants([
    { project: "sister-project", owners: [adminEmail] },
    { project: "strange-project", owners: ["stranger@strange-project.iam.gserviceaccount.com"] },
  ]);
  caller = callerOf(berth);
});
afterAll(() => berth.stop());

let targets = 0;
/** A repository that holds nothing yet: what can be read there was mounted. */
const newTarget = (): string => `my-project/mounts/target-${++targets}`;

function mount(who: Caller, target: string, digest: string, from?: string): Promise<Reply> {
  const query = new URLSearchParams({ mount: digest, ...(from === undefined ? {} : { from }) });
  return who.send("POST", `/v2/${target}/blobs/uploads/?${query}`);
}

async function expectMounted(reply: Reply, target: string, { digest }: Content): Promise<void> {
  const path = `/v2/${target}/blobs/${digest}`;
  expectReply(reply, { status: 201, headers: { location: path, "docker-content-digest": digest }, text: "" });
  const read = await caller.send("GET", path);
  expectReply(read, { status: 200, headers: { "docker-content-digest": digest } });
}

/** Not mounted: an upload has begun instead, which takes the bytes. */
async function expectUpload(reply: Reply, target: string, { digest, bytes }: Content): Promise<void> {
  const location = new RegExp(`^/v2/${target}/blobs/uploads/[^/]+$`);
  expectReply(reply, { status: 202, headers: { location, range: "0-0" }, text: "" });
  expectReply(await caller.send("HEAD", `/v2/${target}/blobs/${digest}`), { status: 404 });
  const place = `${reply.headers.get("location")}?digest=${digest}`;
  expectReply(await caller.send("PUT", place, { body: bytes }), { status: 201 });
}

describe("with a credential of full reach", () => {
  test.each(algorithms)("from another repository of the project: %s", async (algorithm) => {
    const content = contentOf("same project", algorithm);
    await pushBlob(caller, source, content);
    const target = newTarget();
    await expectMounted(await mount(caller, target, content.digest, source), target, content);
  });

  test("from another project of the caller's, on the same host", async () => {
    const content = contentOf("sister project");
    await pushBlob(caller, "sister-project/app", content);
    const target = newTarget();
    await expectMounted(await mount(caller, target, content.digest, "sister-project/app"), target, content);
  });

  test.each(algorithms)("without a source: from any repository of the project: %s", async (algorithm) => {
    const content = contentOf("anonymous mount", algorithm);
    await pushBlob(caller, source, content);
    const target = newTarget();
    await expectMounted(await mount(caller, target, content.digest), target, content);
  });

  test("without a source: not from another project", async () => {
    const content = contentOf("anonymous mount across projects");
    await pushBlob(caller, "sister-project/app", content);
    const target = newTarget();
    await expectUpload(await mount(caller, target, content.digest), target, content);
  });

  test.each([source, undefined])("never across hosts, source %p", async (from) => {
    const content = contentOf(`across hosts ${from}`);
    await pushBlob(callerOf(berth, { host: "us.gcr.io" }), source, content);
    const target = newTarget();
    await expectUpload(await mount(caller, target, content.digest, from), target, content);
  });

  test("a source that does not hold the blob, though its registry does", async () => {
    const content = contentOf("elsewhere in the registry");
    await pushBlob(caller, "my-project/mounts/elsewhere", content);
    await pushBlob(caller, source, contentOf("something else"));
    const target = newTarget();
    await expectUpload(await mount(caller, target, content.digest, source), target, content);
  });

  test.each(["my-project/never-pushed-to", "no-such-project/app", "strange-project/app"])(
    "a source that is not there, or not the caller's: %s",
    async (from) => {
      const content = contentOf("not there");
      const stranger = callerOf(berth, { authorization: `Basic ${btoa(`_json_key:${[...berth.keys.values()][0]}`)}` });
      await pushBlob(stranger, "strange-project/app", content);
      const target = newTarget();
      await expectUpload(await mount(caller, target, content.digest, from), target, content);
    },
  );

  test("a source or a digest that is malformed is refused", async () => {
    const { digest } = contentOf("malformed");
    const target = newTarget();
    for (const from of ["Capital/x", "../x", "my-project//x", "", "my-project/x%00", "sister-project/app?x"]) {
      expectReply(await mount(caller, target, digest, from), { status: 400, code: "NAME_INVALID" });
    }
    for (const wrong of ["sha256:abc", `md5:${"0".repeat(32)}`, ""]) {
      expectReply(await mount(caller, target, wrong, source), { status: 400, code: "DIGEST_INVALID" });
    }
  });
});

describe("with a token", () => {
  const challenged = (scope: string) => ({
    status: 401,
    code: "UNAUTHORIZED",
    headers: {
      "www-authenticate": `Bearer realm="http://127.0.0.1:${berth.port}/v2/token",service="127.0.0.1",scope="${scope}",error="insufficient_scope"`,
    },
  });

  test("that does not reach the source: a challenge for both, and with both it is mounted", async () => {
    const content = contentOf("token with a source");
    await pushBlob(caller, source, content);
    const target = newTarget();
    const own = `repository:${target}:pull,push`;
    const both = [own, `repository:${source}:pull`];
    const small = callerOf(berth, { authorization: bearer(await berth.token(own)) });
    expectReply(await mount(small, target, content.digest, source), challenged(both.join(" ")));
    expectReply(await caller.send("HEAD", `/v2/${target}/blobs/${content.digest}`), { status: 404 });
    const enough = callerOf(berth, { authorization: bearer(await berth.token(...both)) });
    await expectMounted(await mount(enough, target, content.digest, source), target, content);
  });

  test("that may push to the source but not pull from it", async () => {
    const content = contentOf("push is not pull");
    await pushBlob(caller, source, content);
    const target = newTarget();
    const token = await berth.token(`repository:${target}:pull,push`, `repository:${source}:push`);
    const reply = await mount(callerOf(berth, { authorization: bearer(token) }), target, content.digest, source);
    expectReply(reply, { status: 401, code: "UNAUTHORIZED" });
  });

  test("that does not reach the whole project: without a source, a challenge for that", async () => {
    const content = contentOf("token without a source");
    await pushBlob(caller, source, content);
    const target = newTarget();
    const own = `repository:${target}:pull,push`;
    const small = callerOf(berth, { authorization: bearer(await berth.token(own)) });
    expectReply(await mount(small, target, content.digest), challenged(`${own} repository:my-project/*:pull`));
    const whole = callerOf(berth, { authorization: bearer(await berth.token(own, "repository:my-project/*:pull")) });
    await expectMounted(await mount(whole, target, content.digest), target, content);
  });

  test("for a source that is not the owner's there is nothing to ask for: an upload begins", async () => {
    const content = contentOf("nothing to ask for");
    const target = newTarget();
    const token = await berth.token(`repository:${target}:pull,push`, "repository:strange-project/app:pull");
    const small = callerOf(berth, { authorization: bearer(token) });
    await expectUpload(await mount(small, target, content.digest, "strange-project/app"), target, content);
  });
});

describe("a manifest whose blobs are in another repository of the registry", () => {
  const { config, layers, document } = imageOf("linked by the manifest");
  beforeAll(() => Promise.all([config, ...layers].map((blob) => pushBlob(caller, source, blob))));

  test("is taken, and links them, where the caller may read them there", async () => {
    const target = newTarget();
    expectReply(await putManifest(caller, target, "v1", document), { status: 201 });
    for (const { digest } of [config, ...layers]) {
      expectReply(await caller.send("GET", `/v2/${target}/blobs/${digest}`), { status: 200 });
    }
  });

  test("is refused, naming each, for a token that does not reach it", async () => {
    const target = newTarget();
    const own = `repository:${target}:pull,push`;
    const small = callerOf(berth, { authorization: bearer(await berth.token(own)) });
    const refused = await putManifest(small, target, "v1", document);
    expectReply(refused, { status: 404, code: "MANIFEST_BLOB_UNKNOWN" });
    expect(refused.text).toContain((layers[1] as Content).digest);
    const enough = callerOf(berth, {
      authorization: bearer(await berth.token(own, `repository:${source}:pull`)),
    });
    expectReply(await putManifest(enough, target, "v1", document), { status: 201 });
  });
});
