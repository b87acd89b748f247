import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Berth, startBerth, until } from "../harness/berth.ts";
import { callerOf, expectReply } from "../harness/caller.ts";
import { makeScratch, type Scratch } from "../harness/scratch.ts";
import { openMetadata } from "../harness/metadata.ts";

setDefaultTimeout(20_000);

const repository = "my-project/background";
const hour = 3600_000;

let scratch: Scratch;
beforeAll(() => {
  scratch = makeScratch();
});
afterAll(() => scratch.remove());

/** An upload with some bytes; its Location. */
async function leaveUpload(berth: Berth): Promise<string> {
  const caller = callerOf(berth);
  const begun = await caller.send("POST", `/v2/${repository}/blobs/uploads/`);
  const part = await caller.send("PATCH", begun.headers.get("location") as string, { body: "some bytes" });
  expectReply(part, { status: 202 });
  return part.headers.get("location") as string;
}

test("uploads that nobody continued for --limits-upload-expiry hours are given up, with what a crash left", async () => {
  const data = scratch.directory("data");
  const staging = join(data, "blobs/staging");
  let berth = await startBerth({ data });
  const [old, older, fresh] = [await leaveUpload(berth), await leaveUpload(berth), await leaveUpload(berth)];
  expect(await berth.terminate()).toBe(0);
  using database = openMetadata(data);
  const idOf = (location: string): string => /([0-9a-f-]{36})\.\d+$/.exec(location)?.[1] as string;
  const age = (location: string, hours: number): void => {
    database.run("UPDATE uploads SET updated_at = ? WHERE id = ?", [Date.now() - hours * hour, idOf(location)]);
  };
  age(old, 25);
  age(older, 47);
  database.close();
  // Bytes that no upload knows: written, never committed.
  const lost = join(staging, `${crypto.randomUUID()}.${crypto.randomUUID()}`);
  writeFileSync(lost, "lost");
  utimesSync(lost, new Date(Date.now() - 2 * hour), new Date(Date.now() - 2 * hour));

  berth = await startBerth({ data, args: ["--limits-upload-expiry", "46"] });
  await until(() => readdirSync(staging).length === 2 || undefined);
  const status = async (location: string): Promise<number> => (await callerOf(berth).send("GET", location)).status;
  expect(
    readdirSync(staging)
      .map((name) => name.slice(0, 36))
      .sort(),
  ).toEqual([old, fresh].map(idOf).sort());
  expect(await status(older)).toBe(404);
  await until(() => /"uploads":1,"segments":1,"message":"abandoned uploads removed"/.test(berth.output()) || undefined);
  expect(await berth.terminate()).toBe(0);

  // The default is a day.
  berth = await startBerth({ data });
  await until(() => readdirSync(staging).length === 1 || undefined);
  expectReply(await callerOf(berth).send("PATCH", old, { body: "more" }), { status: 404, code: "BLOB_UPLOAD_UNKNOWN" });
  expectReply(await callerOf(berth).send("PATCH", fresh, { body: "more" }), {
    status: 202,
    headers: { range: "0-13" },
  });
  expect(await berth.terminate()).toBe(0);
});
