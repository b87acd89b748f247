import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { command, type Database, MetadataUnavailableError } from "../../src/metadata/database.ts";
import { metadataSuite } from "../../src/metadata/metadata.suite.ts";
import { migratePostgres, NewerSchemaError } from "../../src/metadata/migrate.ts";
import { PostgresDatabase } from "../../src/metadata/postgres.ts";
import { migrations } from "../../src/metadata/schema.ts";
import { all, first, run as statement } from "../../src/metadata/statement.ts";
import { until } from "../harness/berth.ts";
import { type Bouncer, startBouncer } from "../harness/pgbouncer.ts";
import { postgresPrograms } from "../harness/postgres-database.ts";
import { asUser, type PostgresServer, startPostgres } from "../harness/postgres.ts";
import { describeWith } from "../harness/require.ts";
import { makeScratch } from "../harness/scratch.ts";
import { findProgram, run } from "../harness/tools.ts";

setDefaultTimeout(60_000);

const missing = [
  ...(postgresPrograms() === null ? ["postgres"] : []),
  ...["pgbouncer", "openssl"].filter((program) => findProgram(program) === null),
];

describeWith(missing, "metadata in PostgreSQL", () => {
  let server: PostgresServer;
  let bouncer: Bouncer;
  let counter = 0;

  beforeAll(async () => {
    server = await startPostgres({ fsync: "off", deadlock_timeout: "100ms" });
    bouncer = await startBouncer(server);
  });

  afterAll(async () => {
    await bouncer.stop();
    await server.stop();
  });

  async function emptyDatabase(): Promise<string> {
    const name = `test_${++counter}`;
    await server.sql(`CREATE DATABASE ${name}`);
    return name;
  }

  function open(name: string, through: { url: string } = server): PostgresDatabase {
    const url = through.url.replace(/postgres$/, name);
    return new PostgresDatabase({ url, password: undefined, connections: 10, prepared: through === server });
  }

  for (const [title, through] of [
    ["PostgreSQL", () => server],
    ["PostgreSQL behind PgBouncer, a connection for each transaction", () => bouncer],
  ] as const) {
    metadataSuite(title, async () => {
      const name = await emptyDatabase();
      const opened: PostgresDatabase[] = [];
      const made = (): PostgresDatabase => {
        const database = open(name, through());
        opened.push(database);
        return database;
      };
      await migratePostgres(made());
      return { open: made, remove: async () => void (await Promise.all(opened.map((each) => each.close()))) };
    });
  }

  describe("the schema", () => {
    let name: string;
    let database: PostgresDatabase;
    beforeEach(async () => {
      name = await emptyDatabase();
      database = open(name);
    });
    afterEach(() => database.close());

    const versions = async (): Promise<number[]> =>
      (await database.read(all<{ version: number }>("SELECT version FROM schema_migrations ORDER BY 1"))).map(
        ({ version }) => version,
      );

    test("is brought forward once, however many servers start", async () => {
      const others = Array.from({ length: 5 }, () => open(name));
      await Promise.all([database, ...others].map((each) => migratePostgres(each)));
      await Promise.all(others.map((each) => each.close()));
      expect(await versions()).toEqual(migrations.map(({ version }) => version));
    });

    test("of a later version is refused and not touched", async () => {
      await migratePostgres(database);
      await server.sql("INSERT INTO schema_migrations VALUES (999, 0)", name);
      await expect(migratePostgres(database)).rejects.toThrow(NewerSchemaError);
      expect((await versions()).at(-1)).toBe(999);
    });

    test("a step that fails leaves nothing of itself, and what came before it", async () => {
      const broken = { version: 998, statements: ["CREATE TABLE half (a INTEGER)", "CREATE TABLE"] };
      await expect(migratePostgres(database, [...migrations, broken])).rejects.toThrow(/syntax error/);
      expect(await versions()).toEqual(migrations.map(({ version }) => version));
      expect(await database.readRow("SELECT 1 AS there FROM pg_tables WHERE tablename = 'half'")).toBeUndefined();
    });
  });

  describe("commands", () => {
    const add = command(
      "test.add",
      function* ({ id }: { id: string }) {
        const row = yield* first<{ n: number }>("SELECT count(*) AS n FROM projects");
        const sql = "INSERT INTO projects (id, number, display_name, created_at) VALUES (?, ?, '', ?)";
        yield* statement(sql, id, id, row?.n ?? 0);
      },
      "everything",
    );
    const slow = (scope: string) =>
      command(
        "test.slow",
        function* (_: undefined) {
          yield* statement("SELECT pg_sleep(1)");
        },
        () => scope,
      );

    let name: string;
    let database: PostgresDatabase;
    beforeEach(async () => {
      name = await emptyDatabase();
      database = open(name);
      await migratePostgres(database);
    });
    afterEach(() => database.close());

    test("of the same scope wait for each other, of others they do not, and one that wants everything waits for all", async () => {
      const sessions = async (what: string): Promise<number> => {
        const sql = `SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND ${what}`;
        return (await database.readRow<{ n: number }>(sql))?.n ?? 0;
      };
      const state = (asleep: number, waiting: number): Promise<true> =>
        until(async () => {
          const found = [await sessions("wait_event = 'PgSleep'"), await sessions("wait_event = 'advisory'")];
          return (found[0] === asleep && found[1] === waiting) || undefined;
        });
      const others = ["a", "b"].map((scope) => database.write(slow(scope), undefined));
      await state(2, 0);
      const alone = database.write(add, { id: "after" });
      await state(2, 1);
      expect(await sum(database)).toBe(0);
      await Promise.all([...others, alone]);
      const same = ["a", "a"].map((scope) => database.write(slow(scope), undefined));
      await state(1, 1);
      await Promise.all(same);
    });

    test("text with the character that PostgreSQL does not know", async () => {
      await database.write(add, { id: "a\0b" });
      expect(await database.readRow<{ id: string }>("SELECT id FROM projects")).toEqual({ id: "a\uFFFDb" });
      expect(await database.readRow("SELECT id FROM projects WHERE id = ?", "\0")).toBeUndefined();
    });

    test("that are in each other's way are tried anew: a deadlock is nobody's error", async () => {
      await database.write(add, { id: "a" });
      await database.write(add, { id: "b" });
      const touch = (ids: [string, string]) =>
        command(
          `test.touch`,
          function* (_: undefined) {
            yield* statement("UPDATE projects SET created_at = created_at + 1 WHERE id = ?", ids[0]);
            yield* statement("SELECT pg_sleep(0.05)");
            yield* statement("UPDATE projects SET created_at = created_at + 1 WHERE id = ?", ids[1]);
          },
          "nothing",
        );
      const before = await sum(database);
      const rounds = Array.from({ length: 6 }, (_, i) =>
        database.write(touch(i % 2 ? ["a", "b"] : ["b", "a"]), undefined),
      );
      await Promise.all(rounds);
      expect(await sum(database)).toBe(before + 12);
      expect(readFileSync(server.log, "utf8")).toContain("deadlock detected");
    });

    test.each([
      ["is killed", () => server.kill()],
      ["breaks off what runs and stops", () => server.halt()],
    ])("while PostgreSQL %s and comes back: what is acknowledged is there, nothing twice", async (_, end) => {
      const acknowledged: string[] = [];
      const refused: unknown[] = [];
      let going = true;
      const writer = async (who: number): Promise<void> => {
        for (let i = 0; going; i++) {
          const id = `w${who}-${i}`;
          await database.write(add, { id }).then(
            () => acknowledged.push(id),
            (error: unknown) => refused.push(error),
          );
        }
      };
      const writers = Promise.all([0, 1, 2, 3].map(writer));
      try {
        for (let round = 0; round < 3; round++) {
          const before = acknowledged.length;
          await until(() => acknowledged.length > before + 20 || undefined);
          await end();
          await server.start();
          const again = acknowledged.length;
          await until(() => acknowledged.length > again + 20 || undefined, 30_000);
        }
      } finally {
        going = false;
        await writers;
      }
      const rows = await database.read(all<{ id: string }>("SELECT id FROM projects"));
      const there = new Set(rows.map(({ id }) => id));
      expect(acknowledged.filter((id) => !there.has(id))).toEqual([]);
      // What was cut off in its COMMIT is told as not known; nothing else is told at all.
      for (const error of refused) expect(error).toBeInstanceOf(MetadataUnavailableError);
      expect(refused.length).toBeLessThanOrEqual(12);
    });

    test("while PostgreSQL is away for longer than the patience fail as unavailable, reads too", async () => {
      await server.halt();
      try {
        const begun = performance.now();
        const failures = await Promise.allSettled([
          database.write(add, { id: "never" }),
          database.readRow("SELECT 1 AS one"),
          database.read(
            (function* () {
              yield* statement("SELECT 1");
              yield* statement("SELECT 1");
            })(),
          ),
        ]);
        expect(performance.now() - begun).toBeLessThan(15_000);
        for (const failure of failures) {
          expect((failure as PromiseRejectedResult).reason).toBeInstanceOf(MetadataUnavailableError);
        }
      } finally {
        await server.start();
      }
      expect(await database.readRow<{ one: number }>("SELECT 1 AS one")).toEqual({ one: 1 });
    });

    test("a server that stops in the middle of one keeps nobody waiting for long", async () => {
      // It takes the lock that commands share, as a process does that is stopped between two statements.
      const child = Bun.spawn(
        [join(postgresPrograms() ?? "", "psql"), "-qAtX", server.url.replace(/postgres$/, name)],
        {
          stdin: "pipe",
          stdout: "pipe",
          stderr: "ignore",
        },
      );
      void child.stdin.write(
        "BEGIN; SET LOCAL idle_in_transaction_session_timeout = 1000; SELECT pg_advisory_xact_lock(66, 1);\n",
      );
      await child.stdin.flush();
      await until(
        async () =>
          (await database.readRow("SELECT 1 AS held FROM pg_locks WHERE locktype = 'advisory'")) !== undefined ||
          undefined,
      );
      await database.write(add, { id: "after" });
      expect(await database.readRow<{ id: string }>("SELECT id FROM projects")).toEqual({ id: "after" });
      child.kill();
      await child.exited;
    });
  });

  test("over TLS to the authority that is named, and with the password that is right, and not else", async () => {
    const scratch = makeScratch();
    const at = (name: string): string => join(scratch.path, name);
    const certificate = async (name: string): Promise<void> => {
      const files = ["-keyout", at(`${name}.key`), "-out", at(`${name}.crt`)];
      const names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
      await run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", ...files, ...names]);
    };
    await Promise.all(["own", "other"].map(certificate));
    const readable = [at("own.key"), at("own.crt")];
    if (asUser.length > 0) await run(["chown", "nobody:nogroup", ...readable]);
    await run(["chmod", "755", scratch.path]);
    const guarded = await startPostgres(
      { fsync: "off", ssl: "on", ssl_cert_file: at("own.crt"), ssl_key_file: at("own.key"), hba_file: at("hba") },
      async () => {
        await Bun.write(at("hba"), "host all berth 127.0.0.1/32 trust\n");
      },
    );
    try {
      await guarded.sql("ALTER ROLE berth PASSWORD 'r%20i@g/h:t?'");
      await Bun.write(at("hba"), "hostssl all berth 127.0.0.1/32 scram-sha-256\n");
      await guarded.restart();
      const attempt = async (authority: string, password: string): Promise<unknown> => {
        const url = `postgres://berth@localhost:${guarded.port}/postgres?sslmode=verify-full&sslrootcert=${at(authority)}`;
        const made = new PostgresDatabase({ url, password, connections: 2, prepared: true });
        const answer = await made
          .readRow("SELECT ssl AS tls FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
          .catch((error: unknown) => (error as Error).message);
        await made.close();
        return answer;
      };
      expect(await attempt("own.crt", "r%20i@g/h:t?")).toEqual({ tls: 1 });
      expect(await attempt("own.crt", "wrong")).toMatch(/password authentication failed/);
      expect(await attempt("other.crt", "r%20i@g/h:t?")).toMatch(/certificate/);
    } finally {
      await guarded.stop();
      await scratch.remove();
    }
  });
});

async function sum(database: Database): Promise<number> {
  return (await database.readRow<{ n: number }>("SELECT sum(created_at) AS n FROM projects"))?.n ?? 0;
}
