import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { blobStoreSuite } from "../../src/blobs/blob-store.suite.ts";
import { type BlobStore, MissingBytesError, StoreUnavailableError } from "../../src/blobs/blob-store.ts";
import { ObjectStore } from "../../src/blobs/object-store.ts";
import { type S3Options, S3Objects } from "../../src/blobs/s3-objects.ts";
import { digestOf } from "../../src/names/digest.ts";
import { noise as noiseOf } from "../harness/content.ts";
import { s3Credentials, type S3Server, startS3Server } from "../harness/s3-server.ts";
import { makeScratch, type Scratch } from "../harness/scratch.ts";
import { describeInstalled } from "../harness/suites.ts";
import { makeAuthority } from "../server/certificate-files.ts";

/** The S3 driver against a real S3 server, and against one whose answers a proxy spoils. */

const mebibyte = 2 ** 20;
const noise = (size: number): Uint8Array<ArrayBuffer> => new Uint8Array(noiseOf("s3", size));

function objectsOn(endpoint: string, options: Partial<S3Options> = {}): S3Objects {
  return new S3Objects({
    bucket: "berth",
    prefix: "",
    region: "us-east-1",
    endpoint,
    pathStyle: true,
    ca: undefined,
    credentials: s3Credentials,
    concurrency: 16,
    timeout: 10_000,
    ...options,
  });
}

describeInstalled(["versitygw", "openssl"], "the S3 driver", () => {
  let scratch: Scratch;
  let server: S3Server;
  let secure: S3Server;
  let ca: string;
  beforeAll(async () => {
    scratch = makeScratch();
    const authority = await makeAuthority(scratch);
    ca = readFileSync(authority.cert, "utf8");
    const names = "DNS:localhost,DNS:berth.localhost,IP:127.0.0.1";
    const certificate = await authority.issue("s3", { names });
    [server, secure] = await Promise.all([startS3Server(), startS3Server({ ...certificate, ca })]);
  });
  afterAll(async () => {
    await Promise.all([server.stop(), secure.stop()]);
    await scratch.remove();
  });

  const fresh = (make: (prefix: string) => S3Objects) => () => {
    const prefix = `${crypto.randomUUID()}/`;
    return Promise.resolve({
      open: () => Promise.resolve(new ObjectStore("default", make(prefix))),
      remove: () => Promise.resolve(),
    });
  };
  blobStoreSuite(
    "over HTTP, the bucket in the path",
    fresh((prefix) => objectsOn(server.url, { prefix })),
  );
  blobStoreSuite(
    "over HTTPS with an authority of its own, the bucket in the host name",
    fresh((prefix) => objectsOn(secure.url, { prefix, ca, pathStyle: false })),
  );

  test("an endpoint whose certificate nobody vouches for is not spoken to", async () => {
    await expect(objectsOn(secure.url).put("x", new Uint8Array())).rejects.toThrow(StoreUnavailableError);
    expect(existsSync(join(secure.directory, "x"))).toBe(false);
  });

  /** Uploads in parts that the server still holds. */
  const unfinished = (): string[] => {
    const directory = join(server.directory, ".sgwtmp/multipart");
    return existsSync(directory) ? readdirSync(directory) : [];
  };

  test("who reads slowly keeps others waiting no longer than the timeout", async () => {
    const objects = objectsOn(server.url, { concurrency: 1, timeout: 300 });
    await objects.put("slow", noise(1000));
    const slow = await objects.get("slow", undefined);
    await expect(objects.get("slow", undefined)).rejects.toThrow(StoreUnavailableError);
    for await (const _ of slow);
    for await (const _ of await objects.get("slow", undefined));
    await objects.delete("slow");
  });

  describe("a segment of several parts", () => {
    let store: BlobStore;
    beforeEach(() => {
      store = new ObjectStore("default", objectsOn(server.url));
    });

    test.each([8 * mebibyte - 1, 8 * mebibyte, 8 * mebibyte + 1, 16 * mebibyte, 20 * mebibyte + 7])(
      "of %d bytes comes back as it was",
      async (size) => {
        const bytes = noise(size);
        const writer = await store.stage("upload");
        for (let at = 0; at < size; at += 700_001) await writer.write(bytes.subarray(at, at + 700_001));
        await writer.commit();
        const key = await store.adopt(writer.key, digestOf(bytes));
        await store.removeStaged(writer.key);
        expect(digestOf(await store.readSmall(key))).toBe(digestOf(bytes));
        const body = await store.read(key, { first: size - 10, last: size - 1 });
        if (body.kind !== "stream") throw new Error("not a stream");
        expect(Buffer.from(await new Response(body.stream).bytes()).equals(bytes.subarray(size - 10))).toBe(true);
        await store.remove(key);
        expect(unfinished()).toEqual([]);
      },
    );

    test("that is aborted leaves no parts", async () => {
      const writer = await store.stage("upload");
      await writer.write(noise(17 * mebibyte));
      expect(unfinished()).not.toEqual([]);
      await writer.abort();
      expect(unfinished()).toEqual([]);
    });

    test("that a process left behind when it died is found and removed, parts and all", async () => {
      const writer = await store.stage("upload");
      await writer.write(noise(17 * mebibyte));
      const next = new ObjectStore("default", objectsOn(server.url));
      const found: string[] = [];
      for await (const { key } of next.listStaged()) found.push(key);
      expect(found).toEqual([writer.key]);
      await next.removeStaged(writer.key);
      expect(unfinished()).toEqual([]);
      // Whoever was taken for dead and goes on does not make a blob of it.
      await expect(writer.commit()).rejects.toThrow();
      await writer.abort();
      await expect(next.adopt(writer.key, digestOf(""))).rejects.toThrow(MissingBytesError);
    });
  });

  describe("through a network that fails", () => {
    type Spoil = (forward: () => Promise<Response>, request: Request) => Promise<Response>;
    let spoil: Spoil | undefined;
    let seen = 0;
    let proxy: Bun.Server<undefined>;
    let store: BlobStore;
    const bytes = noise(3 * mebibyte);

    beforeAll(() => {
      proxy = Bun.serve({
        port: 0,
        hostname: "127.0.0.1",
        idleTimeout: 60,
        async fetch(request) {
          seen++;
          const { pathname, search } = new URL(request.url);
          const body = request.body === null ? null : await request.bytes();
          const { method } = request;
          const headers = new Headers(request.headers);
          const forward = (): Promise<Response> =>
            fetch(server.url + pathname + search, { method, headers, body, decompress: false });
          return spoil === undefined ? forward() : spoil(forward, request);
        },
      });
      store = new ObjectStore("default", objectsOn(`http://127.0.0.1:${proxy.port}`, { timeout: 700 }));
    });
    afterAll(() => proxy.stop(true));
    beforeEach(() => {
      spoil = undefined;
      seen = 0;
    });

    async function stored(): Promise<Awaited<ReturnType<BlobStore["adopt"]>>> {
      const writer = await store.stage("upload");
      await writer.write(bytes);
      await writer.commit();
      const key = await store.adopt(writer.key, digestOf(bytes));
      await store.removeStaged(writer.key);
      return key;
    }

    /** The first `times` requests fail in this way. */
    function fail(times: number, how: Spoil): void {
      let left = times;
      spoil = (forward, request) => (left-- > 0 ? how(forward, request) : forward());
    }

    const slowDown = (): Promise<Response> =>
      Promise.resolve(
        new Response("<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>", {
          status: 503,
          headers: { "content-type": "application/xml" },
        }),
      );
    const never = new Promise<Response>(() => {});

    test("a store that says SlowDown is asked again", async () => {
      fail(3, slowDown);
      const key = await stored();
      expect(digestOf(await store.readSmall(key))).toBe(digestOf(bytes));
      await store.remove(key);
    });

    test("one that goes on saying so is unavailable, after a bounded number of attempts", async () => {
      fail(1000, slowDown);
      await expect(store.check()).rejects.toThrow(StoreUnavailableError);
      expect(seen).toBeLessThanOrEqual(10);
    });

    test("a request that is not answered is sent again; the answer that was lost did its work once", async () => {
      fail(2, async (forward) => {
        await forward();
        return never;
      });
      const key = await stored();
      expect(digestOf(await store.readSmall(key))).toBe(digestOf(bytes));
      await store.remove(key);
    });

    /** The first half of an answer, then `end`. */
    const half =
      (end: (controller: ReadableStreamDefaultController<Uint8Array>) => void): Spoil =>
      async (forward) => {
        const answer = await forward();
        const whole = await answer.bytes();
        const body = new ReadableStream<Uint8Array>({
          start(controller) {
            controller.enqueue(whole.subarray(0, whole.length / 2));
            end(controller);
          },
        });
        return new Response(body, answer);
      };

    test.each([
      ["breaks", half((controller) => void setTimeout(() => controller.error(new Error("cut")), 50))],
      ["ends too early", half((controller) => controller.close())],
      ["hangs", half(() => {})],
    ] as const)("a body that %s is read on from where it was", async (_, how) => {
      const key = await stored();
      fail(2, how);
      expect(digestOf(await store.readSmall(key))).toBe(digestOf(bytes));
      expect(seen).toBeGreaterThan(2);
      spoil = undefined;
      await store.remove(key);
    });

    test("bytes that changed on their way in are not stored", async () => {
      const direct = `${server.url}/berth/changed`;
      spoil = async (_, request) => {
        const headers = new Headers(request.headers);
        return fetch(direct, { method: "PUT", headers, body: noise(10) });
      };
      const objects = objectsOn(`http://127.0.0.1:${proxy.port}`);
      await expect(objects.put("changed", noise(10))).rejects.toThrow();
      expect(existsSync(join(server.directory, "changed"))).toBe(false);
    });
  });
});
