import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { berthCommand } from "../harness/berth.ts";
import { makeScratch, type Scratch } from "../harness/scratch.ts";
import { describeInstalled } from "../harness/suites.ts";
import { berth, launch } from "./launched.ts";

setDefaultTimeout(20_000);

let scratch: Scratch;
beforeAll(() => {
  scratch = makeScratch();
});
afterAll(() => scratch.remove());

describe("plain HTTP off loopback", () => {
  for (const listen of ["0.0.0.0:0", ":0", "[::]:0"]) {
    test(`${listen} is refused`, async () => {
      const data = join(scratch.directory("http"), "data");
      const { code, output } = await berth(["serve", "--data", data, "--listen", listen]);
      expect({ code, output }).toMatchObject({
        code: 2,
        output: expect.stringContaining("--insecure-http") as unknown,
      });
      expect(existsSync(data)).toBeFalse();
    });
  }

  test("--insecure-http serves it", async () => {
    const data = scratch.directory("http");
    const args = ["serve", "--data", data, "--listen", "0.0.0.0:0", "--insecure-http"];
    const server = await launch([...berthCommand(), ...args]);
    try {
      expect((await fetch(`http://127.0.0.1:${server.port}/healthz`)).status).toBe(200);
    } finally {
      await server.stop();
    }
  });
});

// The executable is no part of the package's scripts.
if (!process.env.BERTH_EXECUTABLE) {
  describeInstalled(["npm"], "npm start", () => {
    test("serves, and ends with npm", async () => {
      const data = scratch.directory("npm");
      const server = await launch(["npm", "start", "--", "--listen", "127.0.0.1:0", "--data", data]);
      try {
        expect((await fetch(`http://127.0.0.1:${server.port}/readyz`)).status).toBe(200);
        expect(existsSync(join(data, "admin-key.json"))).toBeTrue();
      } finally {
        await server.stop();
      }
    }, 40_000);
  });
}
