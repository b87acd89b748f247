import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createPrivateKey } from "node:crypto";
import { chmodSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { startBerth } from "../harness/berth.ts";
import { basic } from "../harness/caller.ts";
import { makeScratch, type Scratch } from "../harness/scratch.ts";
import { serve } from "./serve-process.ts";
import { openMetadata } from "../harness/metadata.ts";

let scratch: Scratch;
beforeAll(() => {
  scratch = makeScratch();
});
afterAll(() => scratch.remove());

/** Starts a server on `data` and stops it again; answers its address and what it printed. */
async function startOnce(data: string, ...args: string[]): Promise<{ url: URL; output: string }> {
  const server = serve(["--data", data, "--listen", "127.0.0.1:0", ...args]);
  const url = await server.address();
  expect(await server.stop()).toBe(0);
  return { url, output: server.output() };
}

function passwordIn(output: string): string | undefined {
  return /^berth: console user \S+, password (\S+) /m.exec(output)?.[1];
}

const modeOf = (path: string): string => (statSync(path).mode & 0o777).toString(8);

describe("the first start on an empty directory", () => {
  let data: string;
  let first: { url: URL; output: string };
  beforeAll(async () => {
    data = join(scratch.path, "deep/er/data");
    first = await startOnce(data);
  });

  test("writes the owner's key in the form of Google's, for its owner's eyes only", () => {
    expect(modeOf(data)).toBe("700");
    expect(modeOf(join(data, "admin-key.json"))).toBe("600");
    const key = JSON.parse(readFileSync(join(data, "admin-key.json"), "utf8")) as Record<string, string>;
    const server = first.url.origin;
    expect(key).toEqual({
      type: "service_account",
      project_id: "my-project",
      private_key_id: expect.stringMatching(/^[0-9a-f]{40}$/),
      private_key: expect.stringMatching(/^-----BEGIN PRIVATE KEY-----\n/),
      client_email: "owner@my-project.iam.gserviceaccount.com",
      client_id: expect.stringMatching(/^[1-9]\d{20}$/),
      auth_uri: `${server}/o/oauth2/auth`,
      token_uri: `${server}/token`,
      auth_provider_x509_cert_url: `${server}/oauth2/v1/certs`,
      client_x509_cert_url: `${server}/robot/v1/metadata/x509/owner%40my-project.iam.gserviceaccount.com`,
      universe_domain: "googleapis.com",
    });
    const details = createPrivateKey(key.private_key as string).asymmetricKeyDetails;
    expect(details?.modulusLength).toBe(2048);
  });

  test("tells the console user's password, which stands nowhere afterwards", async () => {
    const password = passwordIn(first.output) as string;
    expect(password.length).toBeGreaterThanOrEqual(16);
    expect(first.output.split(password)).toHaveLength(2);
    const database = openMetadata(data);
    const { email, password_hash: hash } = database.get("SELECT * FROM users") as Record<string, string>;
    database.close();
    expect(first.output).toContain(`console user ${email},`);
    expect(hash).toStartWith("$argon2id$");
    expect(await Bun.password.verify(password, hash as string)).toBe(true);
    for (const name of readdirSync(data, { recursive: true, withFileTypes: true })) {
      if (name.isFile()) expect(readFileSync(join(name.parentPath, name.name)).includes(password)).toBe(false);
    }
  });

  test("says how to log in, with paths and names as they are", () => {
    const key = join(data, "admin-key.json");
    expect(first.output).toContain(`docker login -u _json_key --password-stdin ${first.url.host} < ${key}`);
  });

  test("makes the one project", () => {
    const database = openMetadata(data);
    const projects = database.all("SELECT id, number FROM projects");
    database.close();
    expect(projects).toEqual([{ id: "my-project", number: expect.stringMatching(/^[1-9]\d{11}$/) }]);
  });

  test("the second start makes and tells nothing again; the key stays good", async () => {
    const path = join(data, "admin-key.json");
    const before = { text: readFileSync(path, "utf8"), changed: statSync(path).mtimeMs };
    const second = serve(["--data", data, "--listen", "127.0.0.1:0"]);
    const url = await second.address();
    const authorization = basic(before.text);
    expect((await fetch(new URL("/v2/", url), { headers: { authorization } })).status).toBe(200);
    expect(await second.stop()).toBe(0);
    expect({ text: readFileSync(path, "utf8"), changed: statSync(path).mtimeMs }).toEqual(before);
    expect(second.output()).not.toMatch(/password|admin-key/);
  });
});

test("a key file that its owner took away is not made anew", async () => {
  const data = scratch.directory("kept-elsewhere");
  await startOnce(data);
  const key = readFileSync(join(data, "admin-key.json"), "utf8");
  rmSync(join(data, "admin-key.json"));
  const server = serve(["--data", data, "--listen", "127.0.0.1:0"]);
  const url = await server.address();
  expect((await fetch(new URL("/v2/", url), { headers: { authorization: basic(key) } })).status).toBe(200);
  expect(await server.stop()).toBe(0);
  expect(readdirSync(data)).not.toContain("admin-key.json");
});

test("a directory that others could read is closed to them", async () => {
  const data = scratch.directory("open");
  chmodSync(data, 0o755);
  await startOnce(data);
  expect(modeOf(data)).toBe("700");
});

test("token_uri is where clients reach the server: public-name, over HTTPS where that is served", async () => {
  const plain = scratch.directory("plain");
  const { output } = await startOnce(plain, "--public-name", "registry.corp.example:8443");
  const tokenUri = (data: string): unknown =>
    (JSON.parse(readFileSync(join(data, "admin-key.json"), "utf8")) as Record<string, unknown>).token_uri;
  expect(tokenUri(plain)).toBe("http://registry.corp.example:8443/token");
  expect(output).toContain("--password-stdin registry.corp.example:8443 <");
  const secure = scratch.directory("secure");
  await startOnce(secure, "--public-name", "registry.corp.example", "--tls", "self-signed");
  expect(tokenUri(secure)).toBe("https://registry.corp.example/token");
});

test("two servers never make the same secrets", async () => {
  const [one, other] = await Promise.all([startBerth(), startBerth()]);
  try {
    const [first, second] = [one, other].map((berth) => JSON.parse(berth.key) as Record<string, string>);
    for (const name of ["private_key", "private_key_id", "client_id"]) expect(first?.[name]).not.toBe(second?.[name]);
    expect(passwordIn(one.output())).not.toBe(passwordIn(other.output()));
    expect((await one.fetch("/v2/", { headers: { authorization: basic(other.key) } })).status).toBe(401);
    expect((await other.fetch("/v2/", { headers: { authorization: `Bearer ${await one.token()}` } })).status).toBe(401);
  } finally {
    await Promise.all([one.stop(), other.stop()]);
  }
});
