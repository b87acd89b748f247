import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { type Berth, startBerth } from "../harness/berth.ts";
import { basic, bearer, type Caller, callerOf, expectReply } from "../harness/caller.ts";
import { contentOf, pushBlob, pushImage } from "../harness/content.ts";

let berth: Berth;
beforeAll(async () => {
  berth = await startBerth({
    args: ["--hosts", "[registry.corp, {name: cold.corp, store: cold}]", "--stores", "{cold: {driver: filesystem}}"],
  });
});
afterAll(() => berth.stop());

const at = (host: string): Caller => callerOf(berth, { host });
const name = "my-project/hosts/app";
const path = `/v2/${name}/manifests/v1`;
/** Hosts with registries of their own. */
const hosts = ["gcr.io", "us.gcr.io", "eu.gcr.io", "asia.gcr.io", "registry.corp", "cold.corp"];

test("the same path under two hosts is two images", async () => {
  for (const host of hosts) expectReply(await at(host).send("GET", path), { status: 404, code: "MANIFEST_UNKNOWN" });
  const digests = new Map<string, string>();
  for (const host of hosts) digests.set(host, (await pushImage(at(host), name, host, "v1")).digest);
  for (const host of hosts) {
    const reply = await at(host).send("GET", path);
    expectReply(reply, { status: 200, headers: { "docker-content-digest": digests.get(host) as string } });
    for (const [other, digest] of digests) {
      const status = other === host ? 200 : 404;
      expectReply(await at(host).send("GET", `/v2/${name}/manifests/${digest}`), { status });
    }
  }
  expectReply(await at("eu.gcr.io").send("DELETE", path), { status: 202 });
  for (const host of hosts) {
    expectReply(await at(host).send("HEAD", path), { status: host === "eu.gcr.io" ? 404 : 200 });
  }
});

test("a blob of one host is not another's, though both have one store", async () => {
  const content = contentOf("a blob of one host");
  await pushBlob(at("gcr.io"), name, content);
  for (const host of hosts) {
    const reply = await at(host).send("GET", `/v2/${name}/blobs/${content.digest}`);
    expectReply(reply, { status: host === "gcr.io" ? 200 : 404 });
  }
});

test.each(["localhost", "localhost:5000", "127.0.0.1", "GCR.IO", "gcr.io:443", "anything.example", "[::1]:5000"])(
  "any name that is not configured, %s, means gcr.io's registry",
  async (host) => {
    const { digest } = await pushImage(at("gcr.io"), name, "alias", "alias");
    const reply = await at(host).send("GET", `/v2/${name}/manifests/alias`);
    expectReply(reply, { status: 200, headers: { "docker-content-digest": digest } });
  },
);

test.each(["US.GCR.IO", "us.gcr.io:443", "us.gcr.io."])("%s is us.gcr.io", async (host) => {
  const { digest } = await pushImage(at("us.gcr.io"), name, "american", "american");
  const reply = await at(host).send("GET", `/v2/${name}/manifests/american`);
  expectReply(reply, { status: 200, headers: { "docker-content-digest": digest } });
});

test("a host with a store of its own keeps its bytes there, and only there", async () => {
  const [cold, warm] = [contentOf("cold bytes"), contentOf("warm bytes")];
  await pushBlob(at("cold.corp"), name, cold);
  await pushBlob(at("registry.corp"), name, warm);
  const files = (directory: string): string[] =>
    existsSync(directory) ? readdirSync(directory, { recursive: true }).map(String) : [];
  const holds = (directory: string, { digest }: { digest: string }): boolean =>
    files(join(berth.data, directory)).some((file) => file.includes(digest.slice("sha256:".length)));
  expect([holds("stores/cold", cold), holds("blobs", cold)]).toEqual([true, false]);
  expect([holds("stores/cold", warm), holds("blobs", warm)]).toEqual([false, true]);
});

describe("a token", () => {
  const tokenAt = async (host: string, scope: string): Promise<string> => {
    const reply = await at(host).send("GET", `/v2/token?service=${host}&scope=${scope}`);
    expectReply(reply, { status: 200 });
    return (JSON.parse(reply.text) as { token: string }).token;
  };

  test("is good on the host that gave it, and under its other names", async () => {
    await pushImage(at("us.gcr.io"), name, "token", "token");
    const authorization = bearer(await tokenAt("us.gcr.io", `repository:${name}:pull`));
    for (const [host, status] of [
      ["us.gcr.io", 200],
      ["US.gcr.io:443", 200],
      ["gcr.io", 401],
      ["eu.gcr.io", 401],
      ["localhost", 401],
      ["registry.corp", 401],
    ] as const) {
      const reply = await callerOf(berth, { host, authorization }).send("GET", `/v2/${name}/manifests/token`);
      expectReply(reply, { status });
    }
  });

  test("of another host gets a challenge of the host that was asked", async () => {
    const authorization = bearer(await tokenAt("us.gcr.io", `repository:${name}:pull`));
    const reply = await callerOf(berth, { host: "eu.gcr.io", authorization }).send("GET", path);
    const challenge = `Bearer realm="http://eu.gcr.io/v2/token",service="eu.gcr.io",scope="repository:${name}:pull",error="invalid_token"`;
    expectReply(reply, { status: 401, code: "UNAUTHORIZED", headers: { "www-authenticate": challenge } });
  });
});

describe("mirror.gcr.io takes no pushes", () => {
  const mirror = "mirror.gcr.io";
  const refused = { status: 403, code: "DENIED", message: "mirror.gcr.io takes no pushes." };
  test.each([
    ["POST", `/v2/${name}/blobs/uploads/`],
    ["PUT", path],
    ["GET", `/v2/token?scope=repository:${name}:push,pull`],
  ])("%s %s", async (method, where) => {
    expectReply(await at(mirror).send(method, where), refused);
  });

  test("it answers reads, and has nothing of the others'", async () => {
    await pushImage(at("gcr.io"), name, "mirrored?", "v1");
    expectReply(await at(mirror).send("GET", path), { status: 404, code: "MANIFEST_UNKNOWN" });
    expectReply(await at(mirror).send("GET", "/v2/_catalog"), { status: 200, json: { repositories: [] } });
    expectReply(await at(mirror).send("GET", `/v2/token?scope=repository:${name}:pull`), { status: 200 });
  });

  test("credentials are looked at first", async () => {
    const nobody = callerOf(berth, { host: mirror, authorization: null });
    expectReply(await nobody.send("GET", path), { status: 401 });
    const stranger = callerOf(berth, { host: mirror, authorization: basic("x") });
    expectReply(await stranger.send("PUT", path), { status: 401 });
  });
});
