import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Berth, berthCommand, startBerth, until } from "../harness/berth.ts";
import { basic, bearer, callerOf } from "../harness/caller.ts";
import { contentOf, noise, pushBlob, pushImage } from "../harness/content.ts";
import { rawHead, rawRequest } from "../harness/raw-http.ts";
import { makeScratch } from "../harness/scratch.ts";

setDefaultTimeout(20_000);

const repository = "my-project/logged";

let berth: Berth;
afterEach(() => berth.stop());

interface Line {
  level: number;
  message: string;
  process: string;
  path?: string;
  requestId?: string;
  status?: number;
  principal?: string;
  repository?: string;
  received?: number;
  bytes?: number;
  seconds?: number;
}

/** The lines of the log, each of which must be JSON; what the program tells its operator begins with `berth:`. */
function logLines(output: string): Line[] {
  const lines = output.split("\n").filter((line) => line !== "" && !line.startsWith("berth: "));
  return lines.map((line) => {
    try {
      return JSON.parse(line) as Line;
    } catch {
      throw new Error(`no JSON: ${line}`);
    }
  });
}

test("lines of several processes never mix, however long they are", async () => {
  berth = await startBerth({ args: ["--workers", "4"] });
  const path = (i: number): string => `/v2/my-project/${"long/".repeat(80)}${i}/tags/list`;
  const count = 1200;
  for (let i = 0; i < count; i += 40) {
    const some = Array.from({ length: 40 }, (_, k) => fetch(berth.url + path(i + k), { keepalive: false }));
    await Promise.all(some.map(async (reply) => (await reply).bytes()));
  }
  expect(await berth.terminate()).toBe(0);
  const lines = logLines(berth.output()).filter((line) => line.path?.includes("long/"));
  expect(lines).toHaveLength(count);
  expect(new Set(lines.map(({ requestId }) => requestId)).size).toBe(count);
  expect(new Set(lines.map((line) => line.path)).size).toBe(count);
  expect(new Set(lines.map((line) => line.process))).toEqual(new Set(["api-0", "api-1", "api-2", "api-3"]));
});

test("who asked for what, how it ended, and how much was moved", async () => {
  berth = await startBerth();
  const owner = `serviceAccount:${(JSON.parse(berth.key) as { client_email: string }).client_email}`;
  const blob = contentOf(noise("logged", 60_000));
  const token = await berth.token(`repository:${repository}:pull,push`);
  const caller = callerOf(berth, { authorization: bearer(token) });
  const nobody = callerOf(berth, { authorization: null });
  await pushBlob(caller, repository, blob);
  const content = `/v2/${repository}/blobs/${blob.digest}`;
  const rows: [Promise<{ headers: Headers }>, Partial<Line>][] = [
    [caller.send("GET", content), { status: 200, principal: owner, repository, bytes: 60_000, received: 0 }],
    [caller.send("HEAD", content), { status: 200, principal: owner, repository, bytes: 0 }],
    [caller.send("GET", content, { headers: { range: "bytes=10-19" } }), { status: 206, bytes: 10 }],
    [caller.send("GET", `/v2/${repository}/manifests/none`), { status: 404, principal: owner, repository, bytes: 0 }],
    [
      caller.send("GET", "/v2/my-project/other/tags/list"),
      { status: 401, principal: owner, repository: "my-project/other" },
    ],
    [nobody.send("GET", content), { status: 401, principal: expect.not.stringContaining("@") as never }],
    [callerOf(berth, { authorization: basic("wrong") }).send("GET", "/v2/"), { status: 401, principal: "" }],
    [nobody.send("GET", "/nowhere?secret=in-the-query"), { status: 404, path: "/nowhere" }],
    [
      caller.send("POST", `/v2/${repository}/blobs/uploads/?digest=${contentOf("x").digest}`, {
        body: "y".repeat(5000),
      }),
      { status: 400, received: 5000 },
    ],
  ];
  for (const [reply, expected] of rows) {
    const requestId = (await reply).headers.get("x-request-id") as string;
    const line = await until(() =>
      logLines(berth.output().slice(0, berth.output().lastIndexOf("\n"))).find((each) => each.requestId === requestId),
    );
    expect(line).toMatchObject({ level: 30, message: "request", process: "api-0", requestId, ...expected });
    expect(line.seconds).toBeGreaterThan(0);
    expect(line.seconds).toBeLessThan(10);
  }
});

test("a request id is the server's own, whatever the client sends", async () => {
  berth = await startBerth();
  const ids = new Set<string>();
  for (const given of [{}, { "x-request-id": "mine" }, { "x-request-id": '"}\\n{"level":60' }] as Record<
    string,
    string
  >[]) {
    for (const path of ["/v2/", "/healthz", "/nowhere"]) {
      const reply = await berth.fetch(path, { headers: given });
      ids.add(reply.headers.get("x-request-id") as string);
    }
  }
  expect(ids.size).toBe(9);
  for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
});

describe("secrets", () => {
  test("are in no line at any level, nor in /metrics, whatever goes wrong", async () => {
    berth = await startBerth({ args: ["--log-level", "debug"] });
    const secret = `s3cret${crypto.randomUUID().replaceAll("-", "")}`;
    const token = await berth.token(`repository:${repository}:pull,push`);
    await pushImage(callerOf(berth, { authorization: bearer(token) }), repository, "secrets", "v1");
    const key = JSON.parse(berth.key) as Record<string, string>;
    const broken = JSON.stringify({ ...key, private_key: `${secret} ${key.private_key}` });
    const credentials = [
      basic(secret),
      basic(berth.key, secret),
      basic(broken),
      basic(`{"type": "${secret}"`),
      bearer(secret),
      bearer(`${token}${secret}`),
      `${secret} ${secret}`,
      `Basic ${secret}`,
    ];
    for (const authorization of credentials) {
      const caller = callerOf(berth, { authorization });
      await caller.send("GET", "/v2/");
      await caller.send("GET", `/v2/token?service=x&scope=repository:${repository}:pull`);
      await caller.send("PUT", `/v2/${repository}/manifests/v2`, { body: `{"secret": "${secret}"` });
    }
    const form = new URLSearchParams({ grant_type: "password", username: "_json_key", password: berth.key + secret });
    const type = { "content-type": "application/x-www-form-urlencoded" };
    for (const body of [form.toString(), `${secret}=%%%`, `grant_type=${secret}`]) {
      await callerOf(berth, { authorization: null }).send("POST", "/v2/token", { body, headers: type });
    }
    await callerOf(berth).send("GET", `/v2/?access_token=${secret}`);
    await rawRequest(
      berth.port,
      rawHead("GET /v2/", { cookie: secret, "proxy-authorization": secret, "x-goog-iap": secret }),
    );
    await rawRequest(berth.port, rawHead("GET /v2/", { authorization: `Bearer ${secret}\u0000` }));
    const metrics = await (await fetch(`${berth.url}/metrics`)).text();
    expect(await berth.terminate()).toBe(0);
    const text = berth.output() + metrics;
    logLines(berth.output());
    const payload = token.split(".")[1] as string;
    const lines = (key.private_key as string).split("\n");
    const encoded = basic(berth.key).slice(6);
    for (const each of [secret, token, payload, key.private_key_id as string, lines[1] as string, lines[9] as string]) {
      expect(text).not.toContain(each);
    }
    expect(text).not.toContain(encoded.slice(0, 80));
    expect(text).not.toContain(btoa(secret).slice(0, 20));
    expect(text).not.toContain("PRIVATE KEY");
  });
});

test("a log that nobody reads any more keeps nobody from being served, nor the server from ending", async () => {
  const scratch = makeScratch();
  const args = ["serve", "--data", scratch.directory("data"), "--listen", "127.0.0.1:0"];
  const child = Bun.spawn([...berthCommand(), ...args], { stdin: "ignore", stdout: "pipe", stderr: "ignore" });
  try {
    // The reader goes once it knows the address, as `| head -1` does.
    const reader = child.stdout.getReader();
    const decoder = new TextDecoder();
    let output = "";
    while (!/listening on http:\S+:\d+\n/.test(output)) {
      const { done, value } = await reader.read();
      if (done) throw new Error(`no address: ${output}`);
      output += decoder.decode(value, { stream: true });
    }
    await reader.cancel();
    const url = `http://127.0.0.1:${/:(\d+)\n/.exec(output)?.[1]}/v2/`;
    for (let i = 0; i < 300; i++) expect((await fetch(url)).status).toBe(401);
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
  } finally {
    child.kill("SIGKILL");
    await child.exited;
    await scratch.remove();
  }
});
