import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Berth, startBerth, until } from "../harness/berth.ts";
import { bearer, callerOf, expectReply } from "../harness/caller.ts";
import { contentOf, noise, pushBlob, pushImage } from "../harness/content.ts";
import { rawHead, rawRequest } from "../harness/raw-http.ts";

setDefaultTimeout(20_000);

const repository = "my-project/app";

describe("a server with several processes", () => {
  let berth: Berth;
  beforeAll(async () => {
    berth = await startBerth({ args: ["--workers", "3"] });
  });
  afterAll(() => berth.stop());

  const scrape = async (): Promise<string> => {
    const reply = await fetch(`${berth.url}/metrics`, { keepalive: false });
    expect(reply.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    return reply.text();
  };
  /** The sum of a counter's series that have all of these labels. */
  const total = (text: string, name: string, ...labels: string[]): number =>
    text
      .split("\n")
      .filter((line) => line.startsWith(name) && labels.every((label) => line.includes(label)))
      .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);

  test("logs a line of JSON for each request, with what was moved and never a secret", async () => {
    await pushImage(callerOf(berth), repository, "logged", "v1");
    const blob = contentOf(noise("logged", 70_000));
    await pushBlob(callerOf(berth), repository, blob);
    const token = await berth.token(`repository:${repository}:pull`);
    const path = `/v2/${repository}/blobs/${blob.digest}`;
    const reply = await callerOf(berth, { authorization: bearer(token) }).send("GET", path);
    const id = reply.headers.get("x-request-id") as string;
    const line = await until(() =>
      berth
        .output()
        .split("\n")
        .find((each) => each.includes(id) && each.endsWith("}")),
    );
    expect(JSON.parse(line)).toEqual({
      level: 30,
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/) as unknown,
      process: expect.stringMatching(/^api-[0-2]$/) as unknown,
      requestId: id,
      method: "GET",
      path,
      status: 200,
      principal: `serviceAccount:${(JSON.parse(berth.key) as { client_email: string }).client_email}`,
      repository,
      received: 0,
      bytes: 70_000,
      client: "127.0.0.1",
      seconds: expect.any(Number) as unknown,
      message: "request",
    });
    const upload = `"method":"POST","path":"/v2/${repository}/blobs/uploads/","status":201`;
    await until(() => berth.output().includes(upload) || undefined);
    const lines = berth
      .output()
      .split("\n")
      .filter((each) => each.startsWith("{"));
    const moved = lines.map((each) => JSON.parse(each) as { path?: string; received?: number });
    expect(moved.filter(({ received }) => received === 70_000)).toHaveLength(1);

    const { private_key: secret } = JSON.parse(berth.key) as { private_key: string };
    for (const text of [token, secret.split("\n")[1] as string, btoa(`_json_key:${berth.key}`).slice(0, 60)])
      expect(berth.output()).not.toContain(text);
  });

  test("counts in /metrics what all of them did", async () => {
    await pushImage(callerOf(berth), repository, "counted", "counted");
    const labels = ['method="HEAD"', 'status="200"'];
    const before = await scrape();
    expect(total(before, "berth_process_up")).toBe(5);
    const path = `/v2/${repository}/manifests/counted`;
    await Promise.all(Array.from({ length: 40 }, () => berth.fetch(path, { method: "HEAD", keepalive: false })));
    const after = await scrape();
    const counted = (name: string, ...with_: string[]): number =>
      total(after, name, ...with_) - total(before, name, ...with_);
    expect(counted("berth_http_requests_total", ...labels)).toBe(40);
    expect(counted("berth_http_request_duration_seconds_count", 'method="HEAD"')).toBe(40);
  });

  test("keeps the series of /metrics few, whatever clients ask for", async () => {
    const ask = async (round: string): Promise<void> => {
      const name = (): string => `x${crypto.randomUUID()}`;
      const paths = Array.from({ length: 100 }, () => [
        `/${name()}`,
        `/v2/my-project/${round}${name()}/tags/list`,
        `/v2/${name()}/blobs/sha256:${name()}`,
        `/v2/my-project/a/manifests/${name()}?${name()}=1`,
        `/v2/my-project/a/${name()}/${name()}`,
      ]);
      for (const some of paths) await Promise.all(some.map((path) => berth.fetch(path).then((reply) => reply.text())));
    };
    for (const method of ["GET", "OPTIONS", "PROPFIND"]) await rawRequest(berth.port, rawHead(`${method} /v2/`));
    await berth.fetch("/first");
    const before = (await scrape()).split("\n").length;
    await ask("more");
    const text = await scrape();
    expect(text).not.toMatch(/x[0-9a-f]{8}-|my-project|OPTIONS|PROPFIND/);
    // A dozen for each pair of route and status that was not asked for before.
    expect(text.split("\n").length - before).toBeLessThan(120);
    await ask("still");
    expect((await scrape()).split("\n").length).toBe(text.split("\n").length);
  });
});

describe("a blob store", () => {
  let berth: Berth;
  beforeAll(async () => {
    berth = await startBerth();
  });
  afterAll(() => berth.stop());

  test("that is gone makes the server unready, but not dead, until it is back", async () => {
    const staging = join(berth.data, "blobs/staging");
    const probe = async (path: string): Promise<[number, string]> => {
      const reply = await fetch(berth.url + path);
      return [reply.status, await reply.text()];
    };
    expect(await probe("/readyz")).toEqual([200, "database: ok\nstore default: ok\n"]);
    renameSync(staging, `${staging}.away`);
    try {
      expect(await probe("/readyz")).toEqual([503, "database: ok\nstore default: failed\n"]);
      expect(await probe("/healthz")).toEqual([200, "ok\n"]);
    } finally {
      renameSync(`${staging}.away`, staging);
    }
    expect(await probe("/readyz")).toEqual([200, "database: ok\nstore default: ok\n"]);
  });

  test("that has lost a blob's bytes gives an error of the registry's, also to who had them before", async () => {
    for (const pulledBefore of [false, true]) {
      const blob = contentOf(noise(`lost ${pulledBefore}`, 3_000_000));
      await pushBlob(callerOf(berth), repository, blob);
      const path = `/v2/${repository}/blobs/${blob.digest}`;
      if (pulledBefore) expect((await callerOf(berth).send("GET", path)).bytes).toHaveLength(blob.size);
      const hex = blob.digest.slice("sha256:".length);
      const stored = join(berth.data, "blobs/blobs");
      const files = readdirSync(stored, { recursive: true, encoding: "utf8" }).filter((name) => name.includes(hex));
      expect(files).toHaveLength(1);
      rmSync(join(stored, files[0] as string));
      for (const headers of [{}, { range: "bytes=10-19" }])
        expectReply(await callerOf(berth).send("GET", path, { headers }), { status: 500, code: "BYTES_MISSING" });
    }
    // The rest goes on.
    await pushImage(callerOf(berth), repository, "after the loss", "v1");
  });
});

describe("X-Forwarded-*", () => {
  const forwarded = { "x-forwarded-proto": "https", "x-forwarded-host": "reg.test", "x-forwarded-for": "192.0.2.77" };
  for (const [proxies, isTrusted] of [
    [undefined, false],
    ["10.0.0.0/8,::1", false],
    ["10.0.0.0/8,127.0.0.0/8", true],
  ] as const) {
    const name = `${isTrusted ? "count" : "do not count"} with --trusted-proxies ${proxies ?? "not given"}`;
    test(name, async () => {
      const berth = await startBerth({ args: proxies === undefined ? [] : ["--trusted-proxies", proxies] });
      try {
        const asked = callerOf(berth, { authorization: null, host: "inner.test" });
        const reply = await asked.send("GET", "/v2/", { headers: forwarded });
        const place = isTrusted ? "https://reg.test" : "http://inner.test";
        const service = isTrusted ? "reg.test" : "inner.test";
        const challenge = `Bearer realm="${place}/v2/token",service="${service}"`;
        expectReply(reply, { status: 401, headers: { "www-authenticate": challenge } });
        const client = isTrusted ? "192.0.2.77" : "127.0.0.1";
        const id = reply.headers.get("x-request-id") as string;
        const line = new RegExp(`"requestId":"${id}".*"client":"${client}"`);
        await until(() => line.test(berth.output()) || undefined);
      } finally {
        await berth.stop();
      }
    });
  }
});
