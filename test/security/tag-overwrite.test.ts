import { afterEach, beforeEach, expect, test } from "bun:test";
import { commands } from "../../src/server/commands.ts";
import { putManifest, type PutManifestInput } from "../../src/images/put-manifest.ts";
import { insertOrganization } from "../../src/projects/organizations.ts";
import { insertProject } from "../../src/projects/projects.ts";
import { ensureRegistry } from "../../src/projects/registries.ts";
import { migrate } from "../../src/metadata/migrate.ts";
import { SqliteConnection, SqliteWriter } from "../../src/metadata/sqlite.ts";
import { all } from "../../src/metadata/statement.ts";
import { parseManifest } from "../../src/images/manifest-document.ts";
import { digestOf } from "../../src/names/digest.ts";
import type { ProjectId } from "../../src/names/reference.ts";

/**
 * Who may create but not delete may set a tag that is new, and move none. No role of this version holds the one right
 * without the other, so that no request can show it: the command itself is asked.
 */
let connection: SqliteConnection;
let writer: SqliteWriter;
const call = { service: "test", method: "test", clientAddress: "127.0.0.1", userAgent: "", requestId: "test" };
const actor = {
  principal: "serviceAccount:pusher@my-project.iam.gserviceaccount.com",
  keyId: "",
  delegation: [],
  call,
  accesses: [],
};

beforeEach(async () => {
  connection = new SqliteConnection(":memory:", "write");
  migrate(connection);
  writer = new SqliteWriter(connection, commands);
  const id = "my-project" as ProjectId;
  const etag = "ACAB";
  connection.run(insertOrganization({ id: "1", domain: "example.com", administrators: [], etag, now: 1 }));
  connection.run(insertProject({ id, number: "1", displayName: id, organization: "1", owners: [], etag, now: 1 }));
  await writer.write(ensureRegistry.name, { host: "gcr.io", project: id, store: "default", etag, actor, now: 1 });
});
afterEach(() => connection.close());

/** Pushes an index of its own for each note. */
async function push(note: string, mayMove: boolean, ...tags: string[]): Promise<string> {
  const text = JSON.stringify({ schemaVersion: 2, manifests: [], annotations: { note } });
  const payload = new Uint8Array(Buffer.from(text));
  const digest = digestOf(payload);
  const input: PutManifestInput = {
    registryId: 1,
    host: "gcr.io",
    store: "default",
    name: "my-project/app",
    resource: "//storage.googleapis.com/projects/_/buckets/artifacts.my-project.appspot.com/objects/my-project/app",
    actor,
    now: 2,
    digest,
    payload,
    document: parseManifest(payload, ""),
    imageCreatedAt: 0,
    platform: null,
    tags,
    movable: mayMove ? tags : [],
    elsewhere: "none",
    allowMissingBlobs: false,
  };
  await writer.write(putManifest.name, input);
  return digest;
}

/** The tags with the digests they name. */
function tags(): Record<string, string> {
  const rows = connection.run(
    all<{ name: string; digest: string }>(
      "SELECT t.name, m.digest FROM tags t JOIN manifests m ON m.id = t.manifest_id",
    ),
  );
  return Object.fromEntries(rows.map(({ name, digest }) => [name, digest]));
}

const denied = expect.objectContaining({ code: "DENIED" }) as unknown as Error;

test("CVE-2026-31801: to move a tag takes the right to delete, latest or not", async () => {
  for (const tag of ["latest", "v1"]) {
    const first = await push(`first ${tag}`, false, tag);
    expect(tags()[tag]).toBe(first);
    await expect(push(`second ${tag}`, false, tag)).rejects.toEqual(denied);
    expect(tags()[tag]).toBe(first);
    // The same again moves nothing.
    expect(await push(`first ${tag}`, false, tag)).toBe(first);
    const third = await push(`third ${tag}`, true, tag);
    expect(tags()[tag]).toBe(third);
  }
});

test("zot #4266: so does a push by digest with several tags, of which none is then set", async () => {
  const first = await push("first", false, "taken");
  await expect(push("second", false, "new-1", "taken", "new-2")).rejects.toEqual(denied);
  expect(tags()).toEqual({ taken: first });
  const manifests = connection.run(all<{ digest: string }>("SELECT digest FROM manifests"));
  expect(manifests).toEqual([{ digest: first }]);
  const second = await push("second", true, "new-1", "taken", "new-2");
  expect(tags()).toEqual({ taken: second, "new-1": second, "new-2": second });
});
