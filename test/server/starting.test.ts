import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { serverProcesses } from "../faults/processes.ts";
import { type Berth, startBerth, until } from "../harness/berth.ts";
import { callerOf, errorsOf } from "../harness/caller.ts";
import { putManifest } from "../harness/content.ts";
import { makeScratch, type Scratch } from "../harness/scratch.ts";
import { berth as runBerth } from "./launched.ts";
import { openMetadata } from "../harness/metadata.ts";

setDefaultTimeout(20_000);

let scratch: Scratch;
beforeAll(() => {
  scratch = makeScratch();
});
afterAll(() => scratch.remove());

const password = /password (\S{16,}) \(shown only now\)/;

describe("a data directory", () => {
  test("is set up by the first start, and left alone by the second", async () => {
    const data = scratch.directory("first");
    const first = await startBerth({ data });
    const key = JSON.parse(first.key) as Record<string, string>;
    expect(key).toMatchObject({
      type: "service_account",
      project_id: "my-project",
      private_key_id: expect.stringMatching(/^[0-9a-f]{40}$/) as unknown,
      private_key: expect.stringMatching(/^-----BEGIN PRIVATE KEY-----\n[^]+\n-----END PRIVATE KEY-----\n$/) as unknown,
      client_email: expect.stringMatching(/^[a-z0-9-]+@my-project\.iam\.gserviceaccount\.com$/) as unknown,
      client_id: expect.stringMatching(/^[1-9]\d{20}$/) as unknown,
      token_uri: `http://localhost:${first.port}/token`,
    });
    const file = join(data, "admin-key.json");
    expect([statSync(file).mode & 0o777, statSync(data).mode & 0o777]).toEqual([0o600, 0o700]);
    expect((await first.fetch("/v2/")).status).toBe(200);
    const secret = password.exec(first.output())?.[1] as string;
    expect(first.output().split(secret)).toHaveLength(2);
    expect(await first.terminate()).toBe(0);

    const second = await startBerth({ data });
    try {
      expect(second.key).toBe(first.key);
      expect((await second.fetch("/v2/")).status).toBe(200);
      expect(second.output()).not.toContain("password");
    } finally {
      expect(await second.terminate()).toBe(0);
    }
    // The password is kept nowhere.
    for (const name of ["berth.db", "admin-key.json"])
      expect(readFileSync(join(data, name), "latin1")).not.toContain(secret);
  });

  test("belongs to one server at a time", async () => {
    const berth = await startBerth();
    try {
      const { code, output, stdout } = await runBerth(["serve", "--data", berth.data, "--listen", "127.0.0.1:0"]);
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
      expect(output.trim()).toBe(
        `berth: another Berth is running on the data directory ${berth.data}; stop it, or choose another with --data`,
      );
      expect((await berth.fetch("/v2/")).status).toBe(200);
    } finally {
      await berth.stop();
    }
  });

  test("of a newer version is refused and not changed", async () => {
    const data = scratch.directory("newer");
    expect(await (await startBerth({ data })).terminate()).toBe(0);
    const change = (sql: string): void => {
      using database = openMetadata(data);
      database.run(sql);
    };
    change("INSERT INTO schema_migrations (version, applied_at) VALUES (999, 0)");
    const { code, output } = await runBerth(["serve", "--data", data, "--listen", "127.0.0.1:0"]);
    expect({ code, output }).toMatchObject({
      code: 1,
      output: expect.stringMatching(/^berth: the data directory has schema 999, .* newer version of Berth/) as unknown,
    });
    change("DELETE FROM schema_migrations WHERE version = 999");
    const again = await startBerth({ data });
    expect((await again.fetch("/v2/")).status).toBe(200);
    expect(await again.terminate()).toBe(0);
  });
});

test("a port that another program has is refused, also if that is Berth", async () => {
  const berth = await startBerth();
  const other = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  try {
    for (const port of [other.port, berth.port]) {
      const args = ["serve", "--data", scratch.directory("port"), "--listen", `127.0.0.1:${port}`];
      const { code, output } = await runBerth(args);
      expect({ code, output: output.trim() }).toEqual({
        code: 1,
        output: `berth: another program is listening on 127.0.0.1:${port}; choose another address with --listen`,
      });
    }
  } finally {
    other.stop(true);
    await berth.stop();
  }
});

describe("flag before variable before berth.yaml before default", () => {
  interface Row {
    /** The option's values: flag, variable, key. */
    values: [string, string, string];
    names: [flag: string, variable: string, yaml: string];
    /** What is seen from outside, by who decides. */
    seen: [flag: unknown, variable: unknown, yaml: unknown, standard: unknown];
    look(berth: Berth): unknown;
  }
  const rows: Row[] = [
    {
      names: ["--public-name", "BERTH_PUBLIC_NAME", "public-name: "],
      values: ["flag.test", "variable.test", "yaml.test"],
      seen: ["http://flag.test/token", "http://variable.test/token", "http://yaml.test/token", "at its address"],
      look: ({ key, port }) =>
        (JSON.parse(key) as { token_uri: string }).token_uri.replace(
          `http://localhost:${port}/token`,
          "at its address",
        ),
    },
    {
      names: ["--workers", "BERTH_WORKERS", "workers: "],
      values: ["2", "3", "4"],
      seen: [2, 3, 4, 1],
      look: ({ pid, port }) => serverProcesses(pid, port).api.length,
    },
    {
      names: ["--limits-manifest-size", "BERTH_LIMITS_MANIFEST_SIZE", "limits: {open-uploads: 3, manifest-size: "],
      values: ["2KiB", "3072", "1 KiB}"],
      seen: [2, 3, 1, 4],
      async look(berth) {
        // Bodies of a byte less than 2, 3, 4 KiB and so on are too large, or only no manifests.
        const sizes = [1000, 2000, 3000, 4000];
        const put = (size: number) => putManifest(callerOf(berth), "my-project/a", "t", "x".repeat(size));
        const replies = await Promise.all(sizes.map(put));
        return replies.filter((reply) => reply.status !== 413).length;
      },
    },
    {
      names: ["--limits-open-uploads", "BERTH_LIMITS_OPEN_UPLOADS", ""],
      values: ["1", "2", ""],
      seen: [1, 2, 3, 5],
      async look(berth) {
        const begin = () => callerOf(berth).send("POST", "/v2/my-project/a/blobs/uploads/");
        const replies = [await begin(), await begin(), await begin(), await begin(), await begin()];
        const refused = replies.filter(({ status }) => status !== 202);
        expect(refused.map((reply) => errorsOf(reply)[0]?.code)).toEqual(refused.map(() => "TOOMANYREQUESTS"));
        return replies.length - refused.length;
      },
    },
    {
      names: ["--log-level", "BERTH_LOG_LEVEL", "log: {level: "],
      values: ["silent", "info", "error}"],
      seen: [false, true, false, true],
      async look(berth) {
        await berth.fetch("/v2/my-project/asked/tags/list");
        const logs = (): boolean => berth.output().includes("/v2/my-project/asked/tags/list");
        // Lines come within 200 ms; for those that must not come, the end of the server is awaited.
        const stopped = berth.terminate();
        await Promise.race([stopped, until(() => logs() || undefined, 15_000)]);
        await stopped;
        return logs();
      },
    },
  ];
  const levels = ["flag", "variable", "yaml", "default"] as const;
  for (const [index, level] of levels.entries()) {
    test(level, async () => {
      const data = scratch.directory(level);
      const config = rows.map(({ names, values }) => names[2] + values[2]).filter(Boolean);
      const variables = rows.map(({ names, values }) => [names[1], values[1]]);
      const berth = await startBerth({
        data,
        ...(index <= 2 ? { config: config.join("\n") } : {}),
        // An empty variable is as good as none.
        env: Object.fromEntries(index <= 1 ? variables : variables.map(([name]) => [name, ""])) as Record<
          string,
          string
        >,
        args: index === 0 ? rows.flatMap(({ names, values }) => [names[0], values[0]]) : [],
      });
      try {
        for (const { names, seen, look } of rows)
          expect([names[0], await look(berth)]).toEqual([names[0], seen[index]]);
      } finally {
        await berth.stop();
      }
    });
  }
});
