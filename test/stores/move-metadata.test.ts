import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { PostgresDatabase } from "../../src/metadata/postgres.ts";
import { SqliteConnection } from "../../src/metadata/sqlite.ts";
import { all, type Row } from "../../src/metadata/statement.ts";
import { columnList, tablesOf } from "../../src/metadata/tables.ts";
import { makeAccount } from "../harness/accounts.ts";
import { type Berth, berthCommand, startBerth } from "../harness/berth.ts";
import { bind, bindingOf } from "../harness/bindings.ts";
import { callerOf, expectReply } from "../harness/caller.ts";
import { imageOf, pushImage, putManifest } from "../harness/content.ts";
import { postgresPrograms } from "../harness/postgres-database.ts";
import { type PostgresServer, startPostgres } from "../harness/postgres.ts";
import { describeWith } from "../harness/require.ts";
import { makeScratch } from "../harness/scratch.ts";
import { attempt, type Outcome } from "../harness/tools.ts";

setDefaultTimeout(120_000);

describeWith(postgresPrograms() === null ? ["postgres"] : [], "berth admin move-metadata", () => {
  const scratch = makeScratch();
  let postgres: PostgresServer;
  let data: string;
  let berth: Berth;
  beforeAll(async () => {
    postgres = await startPostgres();
    data = scratch.directory("data");
  });
  afterAll(async () => {
    await berth?.stop();
    await postgres.stop();
    await scratch.remove();
  });

  const move = (...args: string[]): Promise<Outcome> =>
    attempt([...berthCommand(), "admin", "move-metadata", "--url", postgres.url, "--data", data, ...args]);

  /** All rows of a database, by table, in the order of their keys. */
  async function content(path: string, from?: PostgresDatabase): Promise<Record<string, Row[]>> {
    const connection = new SqliteConnection(path, "read");
    const found: Record<string, Row[]> = {};
    for (const table of tablesOf(connection)) {
      const order = table.key.map((name) => `"${name}"`).join(", ");
      const query = all<Row>(`SELECT ${columnList(table)} FROM "${table.name}" ORDER BY ${order}`);
      const rows = from === undefined ? connection.run(query) : await from.read(query);
      found[table.name] = rows.map((row) => ({ ...row }));
    }
    connection.close();
    return found;
  }

  const pull = async (tag: string): Promise<number> =>
    (await callerOf(berth).send("GET", `/v2/my-project/moved/manifests/${tag}`)).status;

  test("to PostgreSQL and back: every row is the same, and the server goes on", async () => {
    berth = await startBerth({ data });
    const caller = callerOf(berth);
    for (let i = 0; i < 5; i++) await pushImage(caller, "my-project/moved", `moved-${i}`, `v${i}`, "latest");
    const { document } = imageOf("moved-1");
    const noted = { ...document, annotations: { text: "ä\u0000\u{1F984}" } };
    expectReply(await putManifest(caller, "my-project/moved", "noted", noted), { status: 201 });
    const robot = await makeAccount(berth, "mover");
    await bind(berth, "/v1/projects/my-project", bindingOf("roles/viewer", robot.email));
    expectReply(await caller.send("POST", "/v2/my-project/moved/blobs/uploads/"), { status: 202 });
    const running = await move("--to", "postgres");
    expect([running.code, running.output]).toEqual([1, expect.stringContaining("another Berth is running") as string]);
    await berth.terminate();

    const database = new PostgresDatabase({ url: postgres.url, password: undefined, connections: 2, prepared: true });
    const file = join(data, "berth.db");
    const before = await content(file);
    expect(before.manifests?.length).toBe(6);
    const there = await move("--to", "postgres", "--format", "json");
    expect([there.code, there.output]).toEqual([0, expect.stringContaining('"to": "postgres"') as string]);
    expect(there.output).toMatch(/^\d+ rows to copy: about 1 s$/m);
    expect(await content(file, database)).toEqual(before);
    const again = await move("--to", "postgres");
    expect([again.code, again.output]).toEqual([1, expect.stringContaining("the target is not empty") as string]);

    const env = { BERTH_METADATA_URL: postgres.url };
    berth = await startBerth({ data, env });
    expect(await Promise.all(["v0", "latest", "noted"].map(pull))).toEqual([200, 200, 200]);
    // Ids go on above those that came along.
    await pushImage(callerOf(berth), "my-project/moved", "after", "after");
    await pushImage(callerOf(berth), "my-project/other", "other", "after");
    await berth.terminate();

    const refused = await move("--to", "file");
    expect([refused.code, refused.output]).toEqual([1, expect.stringContaining("the target is not empty") as string]);
    const home = data;
    data = scratch.directory("back");
    const back = await move("--to", "file");
    expect([back.code, back.output]).toEqual([0, expect.stringContaining("copied and compared") as string]);
    expect(await content(join(data, "berth.db"))).toEqual(await content(file, database));
    await database.close();
    // The blobs stayed where they were.
    for (const name of ["blobs", "admin-key.json"]) {
      expect((await attempt(["cp", "-a", join(home, name), data])).code).toBe(0);
    }
    berth = await startBerth({ data });
    expect(await Promise.all(["v0", "after"].map(pull))).toEqual([200, 200]);
    await pushImage(callerOf(berth), "my-project/moved", "home", "home");
    expect(await pull("home")).toBe(200);
    await berth.terminate();
  });

  test("one that breaks off leaves the target empty, and can be done again", async () => {
    await postgres.sql("CREATE DATABASE half");
    const url = postgres.url.replace(/postgres$/, "half");
    const to = (...args: string[]): Promise<Outcome> =>
      attempt([...berthCommand(), "admin", "move-metadata", "--url", url, "--data", data, "--to", "postgres", ...args]);
    // The tables are there; one of them does not take what comes.
    expect((await to("--format", "json")).code).toBe(0);
    const tables = (
      await postgres.sql(
        "SELECT string_agg(tablename, ', ') FROM pg_tables WHERE schemaname = 'public' AND tablename NOT IN ('schema_migrations', 'versions')",
        "half",
      )
    ).trim();
    await postgres.sql(`TRUNCATE ${tables}; ALTER TABLE tags ADD CONSTRAINT none CHECK (false)`, "half");
    const broken = await to();
    expect([broken.code, broken.output]).toEqual([
      1,
      expect.stringMatching(/violates check.*; nothing was copied/) as string,
    ]);
    expect((await postgres.sql("SELECT count(*) FROM projects", "half")).trim()).toBe("0");
    await postgres.sql("ALTER TABLE tags DROP CONSTRAINT none", "half");
    expect((await to()).code).toBe(0);
  });

  test("what it does not understand is refused", async () => {
    const wrong = await move("--to", "cloud");
    expect([wrong.code, wrong.output]).toEqual([
      1,
      expect.stringContaining("--to: expected postgres or file") as string,
    ]);
    const nowhere = await attempt([...berthCommand(), "admin", "move-metadata", "--to", "postgres", "--data", data]);
    expect([nowhere.code, nowhere.output]).toEqual([1, expect.stringContaining("metadata.url is not set") as string]);
  });
});
