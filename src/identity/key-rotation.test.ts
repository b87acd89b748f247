import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SigningKeys } from "../keys/signing-keys.ts";
import { Freshness } from "../metadata/freshness.ts";
import { migrate } from "../metadata/migrate.ts";
import { SqliteConnection, SqliteDatabase, SqliteWriter } from "../metadata/sqlite.ts";
import { AccessTokens } from "./access-tokens.ts";
import { rotateKeys, rotateSigningKeys, rotationDays } from "./key-rotation.ts";
import { OwnTokens } from "./own-tokens.ts";

const hour = 3600_000;
const day = 24 * hour;
const now = Date.now();
const holder = {
  principal: "user:ann@example.com",
  accountId: "1",
  keyId: "",
  tokenIds: [],
  sets: [],
  delegation: [],
  origins: [],
};

let directory: string;
let connection: SqliteConnection;
let database: SqliteDatabase;
let freshness: Freshness;
let keys: SigningKeys;
let tokens: AccessTokens;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "berth-keys-"));
  const path = join(directory, "berth.db");
  connection = new SqliteConnection(path, "write");
  migrate(connection);
  database = new SqliteDatabase(path, new SqliteWriter(connection, [rotateKeys]));
  freshness = new Freshness(database);
  keys = new SigningKeys(database, freshness);
  tokens = new AccessTokens(new OwnTokens(keys));
});

afterEach(() => {
  connection.close();
  rmSync(directory, { recursive: true, force: true });
});

/** As the background process does it each hour; what other processes remember is looked at again. */
async function rotate(at: number): Promise<void> {
  await rotateSigningKeys(database, at);
  await freshness.refresh();
  // The look counts once in a turn of the event loop.
  await new Promise((resolve) => setImmediate(resolve));
}

const issuedAt = Math.floor(now / 1000);
const sign = (): Promise<string> => tokens.issue({ holder, scope: "", issuedAt, expiresAt: issuedAt + 3600 });
const isGood = async (token: string): Promise<boolean> => (await tokens.read(token, now)) !== undefined;

test("a key is followed when it is old, not before", async () => {
  await rotate(now - rotationDays * day);
  await rotate(now - day);
  expect(await keys.publicKeys()).toHaveLength(1);
  await rotate(now + hour);
  expect(await keys.publicKeys()).toHaveLength(2);
});

test("a new key is published before it signs, and the old one's tokens stay good", async () => {
  await rotate(now - 2 * rotationDays * day);
  const before = await keys.newest();
  const token = await sign();
  await rotate(now);
  expect(await keys.publicKeys()).toHaveLength(2);
  expect((await keys.newest()).id).toBe(before.id);
  expect([await isGood(token), await isGood(await sign())]).toEqual([true, true]);
});

test("the old key goes when nothing that it signed can be good any more", async () => {
  await rotate(now - 2 * rotationDays * day);
  const old = await sign();
  await rotate(now - 23 * hour);
  expect((await keys.newest()).createdAt).toBe(now - 23 * hour);
  await rotate(now);
  expect([await keys.publicKeys().then((all) => all.length), await isGood(old)]).toEqual([2, true]);
  await rotate(now + 2 * hour);
  expect([await keys.publicKeys().then((all) => all.length), await isGood(old)]).toEqual([1, false]);
  expect(await isGood(await sign())).toBe(true);
});
