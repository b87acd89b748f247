import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, statSync } from "node:fs";
import { request } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { groupMembers, isAlive } from "../faults/processes.ts";
import { type Berth, startBerth, until } from "../harness/berth.ts";
import { basic, callerOf } from "../harness/caller.ts";
import { imageOf, pushDocument, pushImage } from "../harness/content.ts";
import { makeScratch, type Scratch } from "../harness/scratch.ts";

// A server starts in half a second, but not on a busy machine.
setDefaultTimeout(20_000);

let scratch: Scratch;
beforeAll(() => {
  scratch = makeScratch();
});
afterAll(() => scratch.remove());

const repository = "my-project/app";

describe("SIGTERM", () => {
  test("lets a running upload finish, takes no new connection, and exits with 0", async () => {
    const data = scratch.directory("finish");
    const berth = await startBerth({ data });
    try {
      const upload = await beginUpload(berth);
      const ended = berth.terminate();
      await until(async () => (await isRefused(berth.port)) || undefined);
      expect(isAlive(berth.pid)).toBeTrue();
      expect(await upload.finish()).toBe(202);
      expect(await ended).toBe(0);
      expect(groupMembers(berth.pid)).toEqual([]);

      // What was acknowledged then is there.
      const again = await startBerth({ data });
      try {
        const status = await again.fetch(upload.path);
        expect([status.status, status.headers.get("range")]).toEqual([204, `0-${upload.size - 1}`]);
      } finally {
        await again.stop();
      }
    } finally {
      await berth.stop();
    }
  });

  test("ends a stuck upload after --shutdown-timeout, and exits with 0", async () => {
    const berth = await startBerth({ args: ["--shutdown-timeout", "1"] });
    try {
      const upload = await beginUpload(berth);
      const begun = performance.now();
      expect(await berth.terminate()).toBe(0);
      expect(performance.now() - begun).toBeGreaterThan(900);
      // The default is 30 seconds.
      expect(performance.now() - begun).toBeLessThan(10_000);
      expect(groupMembers(berth.pid)).toEqual([]);
      expect(await upload.finish().catch(() => "cut off")).toBe("cut off");
    } finally {
      await berth.stop();
    }
  });

  test("with an idle connection open ends long before the deadline", async () => {
    const berth = await startBerth();
    const socket = connect({ host: "127.0.0.1", port: berth.port });
    socket.on("error", () => {});
    try {
      await new Promise((resolve) => socket.once("connect", resolve));
      expect((await berth.fetch("/v2/")).status).toBe(200);
      const begun = performance.now();
      expect(await berth.terminate()).toBe(0);
      expect(performance.now() - begun).toBeLessThan(10_000);
    } finally {
      socket.destroy();
      await berth.stop();
    }
  });
});

test("with four workers, what one has written all others read", async () => {
  const berth = await startBerth({ args: ["--workers", "4"] });
  try {
    await pushImage(callerOf(berth), repository, "base", "base");
    for (let round = 0; round < 5; round++) {
      const document = { ...imageOf("base").document, annotations: { round: String(round) } };
      const { digest } = await pushDocument(callerOf(berth), repository, document, "moving");
      const read = async (): Promise<string | null> => {
        const path = `/v2/${repository}/manifests/moving`;
        const reply = await berth.fetch(path, { method: "HEAD", keepalive: false });
        return reply.headers.get("docker-content-digest");
      };
      expect(await Promise.all(Array.from({ length: 50 }, read))).toEqual(Array(50).fill(digest));
    }
    // The connections did reach all of them.
    await until(() => new Set(berth.output().match(/"process":"api-\d","requestId"/g)).size === 4 || undefined);
  } finally {
    await berth.stop();
  }
});

interface Upload {
  path: string;
  /** Bytes of the whole body. */
  size: number;
  finish(): Promise<number>;
}

/** An upload that the server is busy receiving. */
async function beginUpload(berth: Berth): Promise<Upload> {
  const begun = await berth.fetch(`/v2/${repository}/blobs/uploads/`, { method: "POST", keepalive: false });
  const place = new URL(begun.headers.get("location") as string, berth.url);
  const path = place.pathname + place.search;
  const headers = { authorization: basic(berth.key) };
  const patch = request(berth.url + path, { method: "PATCH", headers, agent: false });
  const status = new Promise<number>((resolve, reject) => {
    patch.on("response", (reply) => resolve(reply.resume().statusCode as number));
    patch.on("error", reject);
  });
  // It may fail before anybody waits for it.
  status.catch(() => {});
  const [head, tail] = ["x".repeat(300_000), "the end"];
  patch.write(head);
  const staging = join(berth.data, "blobs/staging");
  await until(() => readdirSync(staging).some((name) => statSync(join(staging, name)).size > 0) || undefined);
  return {
    path,
    size: head.length + tail.length,
    finish(): Promise<number> {
      patch.end(tail);
      return status;
    },
  };
}

function isRefused(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.on("connect", () => {
      socket.destroy();
      resolve(false);
    });
    socket.on("error", () => resolve(true));
  });
}
