import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { type Berth, startBerth } from "../harness/berth.ts";
import { digestOf } from "../harness/image-layout.ts";
import { type Nginx, startNginx } from "../harness/nginx.ts";
import { loggedRequests } from "../harness/registry.ts";
import { makeScratch } from "../harness/scratch.ts";
import { describeInstalled } from "../harness/suites.ts";

setDefaultTimeout(60_000);

/** What the server says its own name is. */
async function challengeAt(url: string, headers: Record<string, string> = {}, ca?: string): Promise<string | null> {
  const reply = await fetch(`${url}/v2/`, { headers, ...(ca === undefined ? {} : { tls: { ca: Bun.file(ca) } }) });
  expect(reply.status).toBe(401);
  return reply.headers.get("www-authenticate");
}

describeInstalled(["nginx", "openssl"], "behind nginx", () => {
  const scratch = makeScratch();
  let berth: Berth;
  let plain: Nginx;
  let secure: Nginx;

  beforeAll(async () => {
    berth = await startBerth({ args: ["--trusted-proxies", "127.0.0.1/32"] });
    plain = await startNginx(scratch, { upstream: berth.port });
    secure = await startNginx(scratch, { upstream: berth.port, tls: true });
  });

  afterAll(async () => {
    await plain.stop();
    await secure.stop();
    await berth.stop();
    await scratch.remove();
  });

  test("challenges name the proxy as the client asked for it", async () => {
    expect(await challengeAt(`http://${plain.host}`)).toStartWith(`Bearer realm="http://${plain.host}/v2/token"`);
    expect(await challengeAt(`https://${secure.host}`, {}, secure.ca)).toStartWith(
      `Bearer realm="https://${secure.host}/v2/token"`,
    );
  });

  test("an upload's Location leads through the proxy again", async () => {
    const trust = { tls: { ca: Bun.file(secure.ca as string) } };
    const authorization = `Bearer ${await berth.token("repository:my-project/proxied/app:push,pull")}`;
    const base = `https://${secure.host}`;
    const begun = await fetch(`${base}/v2/my-project/proxied/app/blobs/uploads/`, {
      method: "POST",
      headers: { authorization },
      ...trust,
    });
    expect(begun.status).toBe(202);
    const location = new URL(begun.headers.get("location") as string, base);
    expect(location.origin).toBe(base);
    const body = randomBytes(3_000_000);
    const patched = await fetch(location, {
      method: "PATCH",
      headers: { authorization },
      body: new Blob([body]),
      ...trust,
    });
    expect([patched.status, patched.headers.get("range")]).toEqual([202, "0-2999999"]);
    const end = new URL(patched.headers.get("location") as string, base);
    expect(end.origin).toBe(base);
    end.searchParams.set("digest", digestOf(body));
    const put = await fetch(end, { method: "PUT", headers: { authorization }, ...trust });
    expect(put.status).toBe(201);
    const blob = await fetch(new URL(put.headers.get("location") as string, base), {
      headers: { authorization },
      ...trust,
    });
    expect(digestOf(await blob.bytes())).toBe(digestOf(body));
  });

  test("the log names the nearest address that is no trusted proxy's", async () => {
    const path = `/v2/my-project/seen-${crypto.randomUUID()}/tags/list`;
    // As if one more trusted proxy stood before nginx; what stands first anyone could have written.
    await fetch(`http://${plain.host}${path}`, { headers: { "x-forwarded-for": "198.51.100.1, 203.0.113.9" } });
    const seen = (await loggedRequests(berth)).find((request) => request.path === path);
    expect(seen?.client).toBe("203.0.113.9");
  });
});

describe("X-Forwarded headers from anyone else are ignored", () => {
  const forwarded = { "x-forwarded-host": "registry.example", "x-forwarded-proto": "https" };

  for (const [name, args] of [
    ["no proxy is configured", []],
    ["another network is", ["--trusted-proxies", "192.0.2.0/24,2001:db8::/32"]],
  ] as const) {
    test(`where ${name}`, async () => {
      const berth = await startBerth({ args: [...args] });
      try {
        expect(await challengeAt(berth.url, forwarded)).toStartWith(`Bearer realm="${berth.url}/v2/token"`);
      } finally {
        await berth.stop();
      }
    });
  }

  test("and from the configured one they count", async () => {
    const berth = await startBerth({ args: ["--trusted-proxies", "192.0.2.0/24,127.0.0.0/8"] });
    try {
      expect(await challengeAt(berth.url, forwarded)).toStartWith('Bearer realm="https://registry.example/v2/token"');
    } finally {
      await berth.stop();
    }
  });
});
