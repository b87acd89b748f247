import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { type Berth, startBerth, until } from "../harness/berth.ts";
import { basic, callerOf, type CallerOptions, type Expected, expectReply } from "../harness/caller.ts";

let berth: Berth;
beforeAll(async () => {
  berth = await startBerth();
});
afterAll(() => berth.stop());

const asked = "registry.test:5000";
const challenge = 'Bearer realm="http://registry.test:5000/v2/token",service="registry.test"';
const unauthorized = '{"errors":[{"code":"UNAUTHORIZED","message":"Unauthorized access."}]}';
const api = { "docker-distribution-api-version": "registry/2.0" };

describe("ping", () => {
  const anonymous = { host: asked, authorization: null };
  const rows: [string, CallerOptions, string, string, Expected][] = [
    [
      "nobody gets the challenge: quoted, no space after the comma, the host that was asked, no scope",
      anonymous,
      "GET",
      "/v2/",
      { status: 401, headers: { ...api, "www-authenticate": challenge }, code: "UNAUTHORIZED", text: unauthorized },
    ],
    [
      "the challenge of another host names that host",
      { ...anonymous, host: "asia.gcr.io" },
      "GET",
      "/v2/",
      {
        status: 401,
        headers: { "www-authenticate": 'Bearer realm="http://asia.gcr.io/v2/token",service="asia.gcr.io"' },
      },
    ],
    [
      "an address of IP version 6 is a host too",
      { ...anonymous, host: "[::1]:5000" },
      "GET",
      "/v2/",
      { status: 401, headers: { "www-authenticate": 'Bearer realm="http://[::1]:5000/v2/token",service="[::1]"' } },
    ],
    [
      "HEAD of nobody",
      anonymous,
      "HEAD",
      "/v2/",
      { status: 401, headers: { "www-authenticate": challenge }, text: "" },
    ],
    ["the owner of a key", {}, "GET", "/v2/", { status: 200, headers: { ...api, "www-authenticate": null } }],
    ["the owner of a key by HEAD", {}, "HEAD", "/v2/", { status: 200, headers: api }],
    ["without its slash", {}, "GET", "/v2", { status: 404, code: "NOT_FOUND" }],
    ["another version of the API", {}, "GET", "/v1/", { status: 404, json: { error: { status: "NOT_FOUND" } } }],
  ];
  test.each(rows)("%s", async (_, options, method, path, expected) => {
    expectReply(await callerOf(berth, options).send(method, path), expected);
  });

  test("the key in base64", async () => {
    const authorization = basic(Buffer.from(berth.key).toString("base64"), "_json_key_base64");
    expectReply(await callerOf(berth, { authorization }).send("GET", "/v2/"), { status: 200 });
  });

  test("each reply has a request id of its own, which the log names", async () => {
    const { send } = callerOf(berth);
    const ids = (await Promise.all([send("GET", "/v2/"), send("GET", "/v2"), send("GET", "/v2/token")])).map((reply) =>
      reply.headers.get("x-request-id"),
    );
    expect(new Set(ids).size).toBe(3);
    for (const id of ids) await until(() => berth.output().includes(`"requestId":"${id}"`) || undefined);
  });
});

describe("credentials that are none", () => {
  const invalid = 'Bearer realm="http://registry.test:5000/v2/token",service="registry.test",error="invalid_token"';
  const rows: [string, string, string, string][] = [
    ["a key file that is no JSON", basic("hunter2"), "Unable to parse json key.", challenge],
    ["a JSON that is no key file", basic('{"type":"authorized_user"}'), "Unable to parse json key.", challenge],
    ["base64 that is no key file", basic("hunter2", "_json_key_base64"), "Unable to parse json key.", challenge],
    ["another user name", basic("hunter2", "admin"), "Not Authorized.", challenge],
    ["an access token that is none", basic("ya29.x", "oauth2accesstoken"), "Not Authorized.", challenge],
    ["Basic without a colon", `Basic ${Buffer.from("nothing").toString("base64")}`, "Not Authorized.", challenge],
    ["another scheme", "Negotiate abc", "Not Authorized.", challenge],
    ["a token that is none", "Bearer abc.def.ghi", "Not Authorized.", invalid],
    ["a Bearer without a token", "Bearer", "Not Authorized.", challenge],
  ];
  test.each(rows)("%s", async (_, authorization, message, header) => {
    for (const path of ["/v2/", "/v2/token"]) {
      const reply = await callerOf(berth, { host: asked, authorization }).send("GET", path);
      expectReply(reply, { status: 401, code: "UNAUTHORIZED", message, headers: { "www-authenticate": header } });
    }
  });

  const { privateKey: otherKey } = generateKeyPairSync("rsa", {
    modulusLength: 2048,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
  const changes: [string, (key: Record<string, string>) => object][] = [
    ["of another key's id", (key) => ({ ...key, private_key_id: "0".repeat(40) })],
    ["of another account", (key) => ({ ...key, client_email: "other@my-project.iam.gserviceaccount.com" })],
    ["without its private key", ({ private_key: _, ...key }) => key],
    ["with another private key", (key) => ({ ...key, private_key: otherKey })],
    ["with something else for a private key", (key) => ({ ...key, private_key: "-----BEGIN PRIVATE KEY-----" })],
  ];
  test.each(changes)("a key file %s", async (_, change) => {
    const authorization = basic(JSON.stringify(change(JSON.parse(berth.key) as Record<string, string>)));
    expectReply(await callerOf(berth, { authorization }).send("GET", "/v2/"), { status: 401, code: "UNAUTHORIZED" });
  });
});

describe("a method that an address does not have is refused with those it has", () => {
  const digest = `sha256:${"0".repeat(64)}`;
  const rows: [string, string, string][] = [
    ["POST", "/v2/", "GET, HEAD"],
    ["DELETE", "/v2/_catalog", "GET, HEAD"],
    ["PUT", "/v2/token", "GET, POST"],
    ["POST", "/v2/my-project/app/manifests/v1", "GET, HEAD, PUT, DELETE"],
    ["PATCH", "/v2/my-project/app/manifests/v1", "GET, HEAD, PUT, DELETE"],
    ["PUT", `/v2/my-project/app/blobs/${digest}`, "GET, HEAD, DELETE"],
    ["GET", "/v2/my-project/app/blobs/uploads/", "POST"],
    ["POST", "/v2/my-project/app/blobs/uploads/x.0", "GET, PATCH, PUT, DELETE"],
    ["DELETE", "/v2/my-project/app/tags/list", "GET"],
    ["POST", `/v2/my-project/app/referrers/${digest}`, "GET"],
  ];
  test.each(rows)("%s %s", async (method, path, allow) => {
    const expected = { status: 405, code: "UNSUPPORTED", headers: { allow } };
    expectReply(await callerOf(berth).send(method, path), expected);
  });
});
