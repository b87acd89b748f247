import { afterAll, beforeAll, describe, test } from "bun:test";
import { type Berth, startBerth } from "../harness/berth.ts";
import { bearer, type Caller, callerOf, expectReply } from "../harness/caller.ts";
import { pushImage } from "../harness/content.ts";

const repository = "my-project/scopes";
const digest = `sha256:${"0".repeat(64)}`;
const upload = `/v2/${repository}/blobs/uploads/${crypto.randomUUID()}.0`;

/** Every address of a repository; the right it takes; what an empty-handed request gets that has the right. */
const requests: [string, string, "pull" | "push" | "delete", number][] = [
  ["GET", `/v2/${repository}/manifests/absent`, "pull", 404],
  ["HEAD", `/v2/${repository}/manifests/absent`, "pull", 404],
  ["GET", `/v2/${repository}/manifests/${digest}`, "pull", 404],
  ["PUT", `/v2/${repository}/manifests/absent`, "push", 400],
  ["PUT", `/v2/${repository}/manifests/${digest}?tag=v1`, "push", 400],
  ["DELETE", `/v2/${repository}/manifests/absent`, "delete", 404],
  ["DELETE", `/v2/${repository}/manifests/${digest}`, "delete", 404],
  ["GET", `/v2/${repository}/blobs/${digest}`, "pull", 404],
  ["HEAD", `/v2/${repository}/blobs/${digest}`, "pull", 404],
  ["DELETE", `/v2/${repository}/blobs/${digest}`, "delete", 404],
  ["POST", `/v2/${repository}/blobs/uploads/`, "push", 202],
  ["POST", `/v2/${repository}/blobs/uploads/?digest=${digest}`, "push", 400],
  ["GET", upload, "push", 404],
  ["PATCH", upload, "push", 404],
  ["PUT", `${upload}?digest=${digest}`, "push", 404],
  ["DELETE", upload, "push", 404],
  ["GET", `/v2/${repository}/tags/list`, "pull", 200],
  ["GET", `/v2/${repository}/tags/list?check_usage_only=true`, "pull", 200],
  ["GET", `/v2/${repository}/referrers/${digest}`, "pull", 200],
];

/** What a challenge asks for, by the right that is lacking. */
const asked = { pull: "pull", push: "pull,push", delete: "delete" };

const own = `repository:${repository}`;
/** Tokens by their scopes, and the rights that they hold on the repository. */
const tokens: [string, string[], readonly string[]][] = [
  ["none", [], []],
  ["pull", [`${own}:pull`], ["pull"]],
  ["push", [`${own}:push`], ["push", "delete"]],
  ["pull,push", [`${own}:pull,push`], ["pull", "push", "delete"]],
  ["delete", [`${own}:delete`], ["delete"]],
  ["another repository's", [`${own}-2:pull,push,delete`, `${own}/below:pull,push,delete`], []],
  ["the catalog's", ["registry:catalog:*"], []],
  ["the project's, pull", ["repository:my-project/*:pull"], ["pull"]],
  ["the directory's", ["repository:my-project/scopes/*:pull,push,delete"], []],
];

let berth: Berth;
let challenge: (scope: string, error?: string) => string;
beforeAll(async () => {
  berth = await startBerth();
  await pushImage(callerOf(berth), repository, "scopes", "v1");
  const start = `Bearer realm="${berth.url}/v2/token",service="127.0.0.1"`;
  challenge = (scope, error = "") => `${start},scope="${own}:${scope}"${error}`;
});
afterAll(() => berth.stop());

describe.each(tokens)("a token with the scope: %s", (_, scopes, rights) => {
  let holder: Caller;
  beforeAll(async () => {
    holder = callerOf(berth, { authorization: bearer(await berth.token(...scopes)) });
  });
  test.each(requests)("%s %s takes %s", async (method, path, right, status) => {
    const reply = await holder.send(method, path);
    if (rights.includes(right)) expectReply(reply, { status });
    else {
      const headers = { "www-authenticate": challenge(asked[right], ',error="insufficient_scope"') };
      expectReply(reply, { status: 401, headers, ...(method === "HEAD" ? { text: "" } : { code: "UNAUTHORIZED" }) });
    }
  });
});

describe("nobody", () => {
  test.each(requests)("%s %s takes %s", async (method, path, right) => {
    const reply = await callerOf(berth, { authorization: null }).send(method, path);
    expectReply(reply, { status: 401, headers: { "www-authenticate": challenge(asked[right]) } });
  });
});
