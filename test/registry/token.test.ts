import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { basic, bearer, type Caller, callerOf, type Expected, expectReply, type Reply } from "../harness/caller.ts";
import { pushImage } from "../harness/content.ts";
import { startWithTenants, type TenantServer } from "../harness/tenants.ts";

const stranger = "stranger@strange-project.iam.gserviceaccount.com";
const followInstructions =
  "To configure permissions, follow instructions at: https://cloud.google.com/container-registry/docs/access-control";

let berth: TenantServer;
let owner: Caller;
let nobody: Caller;
beforeAll(async () => {
  berth = await startWithTenants([{ project: "strange-project", owners: [stranger] }]);
  owner = callerOf(berth);
  nobody = callerOf(berth, { authorization: null });
  await pushImage(owner, "my-project/app", "token", "v1");
});
afterAll(() => berth.stop());

interface TokenReply {
  token: string;
  access_token: string;
  expires_in: number;
  issued_at: string;
}

function tokenOf(reply: Reply): string {
  expectReply(reply, { status: 200 });
  return (JSON.parse(reply.text) as TokenReply).token;
}

const holderOf = (token: string, host?: string): Caller =>
  callerOf(berth, { authorization: bearer(token), ...(host === undefined ? {} : { host }) });

/** What a token opens on one repository. */
async function rightsOf(token: string, repository: string): Promise<string[]> {
  const holder = holderOf(token);
  const tries: [string, Reply][] = [
    ["pull", await holder.send("GET", `/v2/${repository}/manifests/no-such-tag`)],
    ["push", await holder.send("PUT", `/v2/${repository}/manifests/no-such-tag`, { body: "not JSON" })],
    ["delete", await holder.send("DELETE", `/v2/${repository}/manifests/no-such-tag`)],
  ];
  return tries.filter(([, { status }]) => status !== 401 && status !== 403).map(([right]) => right);
}

describe("GET", () => {
  test("the reply's form", async () => {
    const before = Math.floor(Date.now() / 1000) * 1000;
    const reply = await owner.send("GET", "/v2/token?service=localhost&scope=repository:my-project/app:pull");
    const headers = { "content-type": /^application\/json\b/, "cache-control": "no-store" };
    expectReply(reply, { status: 200, headers });
    const { token, access_token, expires_in, issued_at, ...rest } = JSON.parse(reply.text) as TokenReply;
    expect(rest).toEqual({});
    expect(access_token).toBe(token);
    expect(expires_in).toBe(3600);
    expect(issued_at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);
    expect(Date.parse(issued_at)).toBeWithin(before, Date.now() + 1);
    // Headers hold 16 KiB in all.
    expect(token.length).toBeLessThan(2000);
    expect(await rightsOf(token, "my-project/app")).toEqual(["pull"]);
  });

  const app = "repository:my-project/app";
  /** The query and what the token then opens on my-project/app and on my-project/other. */
  const rows: [string, string, string[], string[]][] = [
    ["no scope, as docker login", "service=localhost&account=_json_key&client_id=docker&offline_token=true", [], []],
    ["an empty scope", "scope=", [], []],
    ["no query at all", "", [], []],
    ["pull", `scope=${app}:pull`, ["pull"], []],
    // Who may push may also delete: gcloud asks for no more before it deletes.
    ["push,pull", `scope=${app}:push,pull`, ["pull", "push", "delete"], []],
    ["pull,push", `scope=${app}:pull,push`, ["pull", "push", "delete"], []],
    ["push", `scope=${app}:push`, ["push", "delete"], []],
    ["delete", `scope=${app}:delete`, ["delete"], []],
    ["push,pull,delete, as crane", `scope=${app}:push,pull,delete`, ["pull", "push", "delete"], []],
    ["*", `scope=${app}:*`, ["pull", "push", "delete"], []],
    ["actions that do not exist are ignored", `scope=${app}:pull,admin,metadata_write,`, ["pull"], []],
    ["only actions that do not exist", `scope=${app}:admin`, [], []],
    [
      "several parameters",
      `scope=${app}:pull&scope=repository:my-project/other:push,pull`,
      ["pull"],
      ["pull", "push", "delete"],
    ],
    ["several in one, with blanks", `scope=${app}:pull%20repository:my-project/other:pull`, ["pull"], ["pull"]],
    ["the catalog beside it", `scope=registry:catalog:*&scope=${app}:pull`, ["pull"], []],
    ["all of a project", "scope=repository:my-project/*:pull", ["pull"], ["pull"]],
    ["a class of repository", "scope=repository(plugin):my-project/app:pull", ["pull"], []],
    ["a scope that is none", `scope=nonsense&scope=a:b&scope=${app}:pull&scope=:::`, ["pull"], []],
    ["an asterisk where none may be", "scope=repository:*:pull&scope=repository:my-*/app:pull", [], []],
    ["another service than the host", `service=gcr.io&scope=${app}:pull`, ["pull"], []],
  ];
  test.each(rows)("scope: %s", async (_, query, onApp, onOther) => {
    const token = tokenOf(await owner.send("GET", `/v2/token?${query}`));
    expect(await rightsOf(token, "my-project/app")).toEqual(onApp);
    expect(await rightsOf(token, "my-project/other")).toEqual(onOther);
    expectReply(await holderOf(token).send("GET", "/v2/"), { status: 200 });
  });

  test("a name that begins like the scope's is another", async () => {
    const token = tokenOf(await owner.send("GET", `/v2/token?scope=${app}:push,pull`));
    for (const name of ["my-project/app2", "my-project/app/sub", "my-project/ap", "my-project/x/my-project/app"]) {
      expect(await rightsOf(token, name)).toEqual([]);
    }
    const all = tokenOf(await owner.send("GET", "/v2/token?scope=repository:my-project/*:pull"));
    for (const name of ["my-project-two/app", "my-project.example/proj/app"])
      expect(await rightsOf(all, name)).toEqual([]);
  });

  test("more than 50 scopes are refused", async () => {
    const scopes = (count: number) =>
      new URLSearchParams(Array.from({ length: count }, (_, i) => ["scope", `${app}${i}:pull`]));
    expectReply(await owner.send("GET", `/v2/token?${scopes(50)}`), { status: 200 });
    expectReply(await owner.send("GET", `/v2/token?${scopes(51)}`), { status: 400, code: "REQUEST_INVALID" });
  });
});

describe("POST", () => {
  const form = (fields: Record<string, string>): { body: string; headers: Record<string, string> } => ({
    body: new URLSearchParams(fields).toString(),
    headers: { "content-type": "application/x-www-form-urlencoded" },
  });
  const scope = "repository:my-project/app:pull";

  test("grant_type=password", async () => {
    const fields = { grant_type: "password", username: "_json_key", password: berth.key, service: "localhost", scope };
    const reply = await nobody.send("POST", "/v2/token", form(fields));
    expect(await rightsOf(tokenOf(reply), "my-project/app")).toEqual(["pull"]);
  });

  test("with Basic instead of a password in the form", async () => {
    const reply = await owner.send("POST", "/v2/token", form({ grant_type: "password", scope }));
    expect(await rightsOf(tokenOf(reply), "my-project/app")).toEqual(["pull"]);
  });

  test("several scopes, with blanks between them", async () => {
    const both = `${scope} repository:my-project/other:pull`;
    const reply = await owner.send("POST", "/v2/token", form({ scope: both }));
    for (const name of ["my-project/app", "my-project/other"]) {
      expect(await rightsOf(tokenOf(reply), name)).toEqual(["pull"]);
    }
  });

  const refused: [string, Record<string, string>, string][] = [
    ["a grant that is not known", { grant_type: "refresh_token", refresh_token: "x", scope }, "Not Authorized."],
    ["no grant", { username: "_json_key", password: "x" }, "Not Authorized."],
    ["a wrong user", { grant_type: "password", username: "admin", password: "x" }, "Not Authorized."],
    ["a wrong key", { grant_type: "password", username: "_json_key", password: "x" }, "Unable to parse json key."],
  ];
  test.each(refused)("%s", async (_, fields, message) => {
    const headers = { "www-authenticate": /^Bearer realm="[^"]+\/v2\/token",service="[^"]+"$/ };
    expectReply(await nobody.send("POST", "/v2/token", form(fields)), {
      status: 401,
      code: "UNAUTHORIZED",
      message,
      headers,
    });
  });

  test("a form that is too large", async () => {
    const huge = form({ grant_type: "password", username: "x", password: "x".repeat(65 * 1024) });
    expectReply(await nobody.send("POST", "/v2/token", huge), { status: 400, code: "REQUEST_INVALID" });
  });
});

describe("nobody", () => {
  const needed =
    "You don't have the needed permissions to perform this operation, and you may have invalid credentials. " +
    "To authenticate your request, follow the steps in: https://cloud.google.com/container-registry/docs/advanced-authentication";
  test.each(["push,pull", "pull", "delete"])("who asks for %s is told how to authenticate", async (actions) => {
    const reply = await nobody.send("GET", `/v2/token?scope=repository:my-project/app:${actions}`);
    expectReply(reply, { status: 401, code: "UNAUTHORIZED", message: needed });
  });

  test("who asks for nothing gets a token that opens nothing", async () => {
    const token = tokenOf(await nobody.send("GET", "/v2/token?service=localhost"));
    expect(await rightsOf(token, "my-project/app")).toEqual([]);
    expectReply(await holderOf(token).send("GET", "/v2/_catalog"), { status: 401 });
  });
});

describe("what the exchange makes and refuses", () => {
  const terraform = "/v2/token?service=gcr.io&scope=repository:my-project/my-repo:push,pull";
  const root = "/v2/my-project/tags/list";

  test.each(["eu.gcr.io", "asia.gcr.io"])(
    "Terraform's request makes the registry of %s, whatever the service",
    async (host) => {
      const here = callerOf(berth, { host });
      const pull = "/v2/token?service=gcr.io&scope=repository:my-project/my-repo:pull";
      expectReply(await here.send("GET", pull), { status: 200 });
      expectReply(await here.send("GET", root), { status: 404, code: "NAME_UNKNOWN" });
      const holder = holderOf(tokenOf(await here.send("GET", terraform)), host);
      expectReply(await here.send("GET", root), { status: 200, json: { child: [], tags: [] } });
      await pushImage(holder, "my-project/my-repo", "terraform", "v1");
    },
  );

  const words = (permission: string, project: string): Expected => ({
    status: 403,
    code: "DENIED",
    message: `Token exchange failed for project '${project}'. Caller does not have permission '${permission}'. ${followInstructions}`,
  });
  const other = (): Caller => callerOf(berth, { authorization: basic(berth.keys.get(stranger) as string) });
  const push = (project: string): string => `/v2/token?scope=repository:${project}/app:push,pull`;

  test("a push to a registry that the caller cannot see: there or not, it is the same", async () => {
    expectReply(await other().send("GET", push("my-project")), words("storage.buckets.create", "my-project"));
  });
  test("a push to a registry that is not", async () => {
    expectReply(await owner.send("GET", push("strange-project")), words("storage.buckets.create", "strange-project"));
    expectReply(await owner.send("GET", push("no-such-project")), words("storage.buckets.create", "no-such-project"));
    expectReply(await owner.send("GET", push("example.com/proj")), words("storage.buckets.create", "example.com:proj"));
  });
  test("a push that is refused makes nothing", async () => {
    expectReply(await owner.send("GET", push("strange-project")), { status: 403 });
    expectReply(await other().send("GET", "/v2/strange-project/tags/list"), { status: 404, code: "NAME_UNKNOWN" });
  });
  test("one refused push refuses the exchange, whatever else was asked", async () => {
    const query = "scope=repository:my-project/app:pull&scope=repository:strange-project/app:push";
    expectReply(await owner.send("GET", `/v2/token?${query}`), { status: 403, code: "DENIED" });
  });
  test("a pull of another's is no refusal, but the token does not open it", async () => {
    const token = tokenOf(await other().send("GET", "/v2/token?scope=repository:my-project/app:pull"));
    expect(await rightsOf(token, "my-project/app")).toEqual([]);
    const message = 'Permission denied for "v1" from request "/v2/my-project/app/manifests/v1".';
    expectReply(await holderOf(token).send("GET", "/v2/my-project/app/manifests/v1"), {
      status: 403,
      code: "DENIED",
      message,
    });
  });
});

describe("Bearer at the token endpoint", () => {
  const app = "repository:my-project/app";
  test("is accepted, for what the token reaches already", async () => {
    const wide = tokenOf(await owner.send("GET", `/v2/token?scope=${app}:pull,push`));
    const narrow = tokenOf(await holderOf(wide).send("GET", `/v2/token?scope=${app}:pull`));
    expect(await rightsOf(narrow, "my-project/app")).toEqual(["pull"]);
  });

  test("gives no more than the token reaches", async () => {
    const pull = tokenOf(await owner.send("GET", `/v2/token?scope=${app}:pull`));
    const reply = await holderOf(pull).send(
      "GET",
      `/v2/token?scope=${app}:pull,push,delete&scope=repository:my-project/other:pull`,
    );
    if (reply.status === 200) {
      expect(await rightsOf(tokenOf(reply), "my-project/app")).toEqual(["pull"]);
      expect(await rightsOf(tokenOf(reply), "my-project/other")).toEqual([]);
    } else expect([401, 403]).toContain(reply.status);
  });

  test("a token that was made for less makes no registry", async () => {
    const here = callerOf(berth, { host: "us.gcr.io" });
    const pull = tokenOf(await here.send("GET", `/v2/token?scope=${app}:pull`));
    await holderOf(pull, "us.gcr.io").send("GET", `/v2/token?scope=${app}:push,pull`);
    expectReply(await here.send("GET", "/v2/my-project/tags/list"), { status: 404, code: "NAME_UNKNOWN" });
  });
});
