import { expect, test } from "bun:test";
import fc from "fast-check";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { migrate } from "../../metadata/migrate.ts";
import { SqliteConnection, SqliteDatabase, SqliteWriter } from "../../metadata/sqlite.ts";
import { run } from "../../metadata/statement.ts";
import type { ProjectId } from "../../names/reference.ts";
import type { Registry } from "../registries.ts";
import { listObjects, type ListRequest } from "./list-objects.ts";
import { parseObjectName } from "./object-names.ts";

const project = "p" as ProjectId;
const registry: Registry = { id: 1, host: "gcr.io", project, bucket: "b", store: "default", createdAt: 0 };

interface Content {
  blobs: string[];
  /** By the repository's path below the project. */
  repositories: Record<string, { manifests: string[]; tags: string[] }>;
}

async function withBucket<T>(content: Content, use: (database: SqliteDatabase) => Promise<T>): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), "berth-objects-"));
  const path = join(directory, "berth.db");
  const connection = new SqliteConnection(path, "write");
  try {
    migrate(connection);
    const insert = (sql: string, ...params: (string | number)[]): void => connection.run(run(sql, ...params));
    insert("INSERT INTO projects (id, number, display_name, created_at) VALUES (?, '1', '', 0)", project);
    insert("INSERT INTO registries VALUES (1, 'gcr.io', ?, 'b', 'default', 0)", project);
    insert("INSERT INTO repositories VALUES (1000, 1, 'p/zz-blobs', 0)");
    content.blobs.forEach((digest, i) => {
      insert("INSERT INTO blobs VALUES (?, 'default', ?, 1, ?, 0)", i, digest, String(i));
      insert("INSERT INTO blob_links VALUES (1000, ?, 1, 0)", i);
    });
    Object.entries(content.repositories).forEach(([name, { manifests, tags }], i) => {
      insert("INSERT INTO repositories VALUES (?, 1, ?, 0)", i + 1, `p/${name}`);
      manifests.forEach((digest, j) => {
        insert(
          `INSERT INTO manifests (id, repository_id, digest, media_type, size, image_size, image_created_at, pushed_at)
             VALUES (?, ?, ?, 'm', 1, 1, 0, 0)`,
          1000 * (i + 1) + j,
          i + 1,
          digest,
        );
      });
      tags.forEach((tag) => {
        insert("INSERT INTO tags VALUES (?, ?, ?, 0, 0)", i + 1, tag, 1000 * (i + 1));
      });
    });
    return await use(new SqliteDatabase(path, new SqliteWriter(connection, [])));
  } finally {
    connection.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** The same from all names, as Cloud Storage describes a listing. */
function expected(names: readonly string[], { prefix, byDirectory, from, to }: ListRequest): string[] {
  const shown = names.filter((name) => name.startsWith(prefix) && name >= from && (to === undefined || name < to));
  const slash = (name: string): number => (byDirectory ? name.indexOf("/", prefix.length) : -1);
  return [...new Set(shown.map((name) => (slash(name) < 0 ? name : name.slice(0, slash(name) + 1))))].sort();
}

function namesOf({ blobs, repositories }: Content): string[] {
  const base = "containers/repositories/library";
  const inRepositories = Object.entries(repositories).flatMap(([name, { manifests, tags }]) => [
    ...manifests.map((digest) => `${base}/${name}/manifest_${digest}`),
    ...tags.map((tag) => `${base}/${name}/tag_${tag}`),
  ]);
  return [...blobs.map((digest) => `containers/images/${digest}`), ...inRepositories].sort();
}

const digest = fc.constantFrom(..."0123456789").map((c) => `sha256:${c.repeat(64)}`);
const repository = fc
  .array(fc.constantFrom("a", "a-b", "a.b", "ab", "manifest", "manifest_sha256", "tag", "tag_x", "n", "z"), {
    minLength: 1,
    maxLength: 3,
  })
  .map((segments) => segments.join("/"));
const content: fc.Arbitrary<Content> = fc.record({
  blobs: fc.uniqueArray(digest, { maxLength: 4 }),
  repositories: fc.dictionary(
    repository,
    fc.record({
      manifests: fc.uniqueArray(digest, { minLength: 1, maxLength: 4 }),
      tags: fc.uniqueArray(fc.constantFrom("latest", "Z", "_", "v1.0-a", "v1"), { maxLength: 4 }),
    }),
    { maxKeys: 6, noNullPrototype: true },
  ),
});
/** Wherever a name can be cut, also where nothing is. */
const position = (names: readonly string[]): fc.Arbitrary<string> =>
  fc
    .tuple(fc.constantFrom("", "containers/", "d", ...names), fc.nat(80), fc.constantFrom("", "0", "~", "/"))
    .map(([name, length, end]) => name.slice(0, length) + end);

test("pages put together are the names in their order", async () => {
  await fc.assert(
    fc.asyncProperty(content, fc.gen(), async (bucket, choose) => {
      const names = namesOf(bucket);
      await withBucket(bucket, async (database) => {
        for (let i = 0; i < 10; i++) {
          const request: ListRequest = {
            prefix: choose(() => position(names)),
            byDirectory: choose(fc.boolean),
            from: choose(() => fc.oneof(fc.constant(""), position(names))),
            to: choose(() => fc.option(position(names), { nil: undefined })),
            limit: choose(() => fc.integer({ min: 1, max: 8 })),
          };
          const found: string[] = [];
          let from: string | undefined = request.from;
          while (from !== undefined) {
            const page = await listObjects(database, registry, { ...request, from });
            const shown = [...page.objects.map(({ name }) => name), ...page.prefixes].sort();
            expect(shown.length).toBeLessThanOrEqual(request.limit);
            found.push(...shown);
            from = page.next;
          }
          expect(found).toEqual(expected(names, request));
        }
      });
    }),
    { numRuns: 60 },
  );
}, 60_000);

test("every name that is listed is found by its parts", async () => {
  await fc.assert(
    fc.property(content, (bucket) => {
      for (const name of namesOf(bucket)) {
        const parsed = parseObjectName(name, project);
        const again =
          parsed?.kind === "blob"
            ? `containers/images/${parsed.digest}`
            : `containers/repositories/library/${parsed?.repository.slice("p/".length)}/${
                parsed?.kind === "tag" ? `tag_${parsed.tag}` : `manifest_${parsed?.digest}`
              }`;
        expect(again).toBe(name);
      }
    }),
  );
});

test("a name that leads out of its project, or nowhere, is none", () => {
  for (const name of [
    "containers/images/sha256:00",
    "containers/repositories/library/../q/tag_x",
    "containers/repositories/library//tag_x",
    "containers/repositories/library/tag_x",
    "containers/repositories/library/a/tag_",
    "containers/repositories/library/a/manifest_x",
    "other",
  ]) {
    expect([name, parseObjectName(name, project)]).toEqual([name, undefined]);
  }
});
