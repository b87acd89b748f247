import { expect, test } from "bun:test";
import fc from "fast-check";
import { bucketName } from "./buckets.ts";
import { type ProjectId, parseProjectId, parseRepositoryPath, parseTag, projectPath } from "./reference.ts";

test("splits a path into project and image", () => {
  expect(parseRepositoryPath("p1/app")).toMatchObject({ project: "p1", image: "app", name: "p1/app" });
  expect(parseRepositoryPath("p1/a/b/c")).toMatchObject({ project: "p1", image: "a/b/c" });
  expect(parseRepositoryPath("example.com/p1/app")).toMatchObject({ project: "example.com:p1", image: "app" });
  expect(parseRepositoryPath("p1")).toMatchObject({ project: "p1", image: "" });
});

test.each([
  "",
  "/",
  "p1/",
  "/p1",
  "p1//a",
  "P1/a",
  "p1/A",
  "p1/a_",
  "p1/_a",
  "p1/a..b",
  "p1/a._b",
  "p1/a___b",
  "example.com",
  "p1/../x",
  "p1/a b",
  "p1/ä",
  "p1/a\0b",
  "p_1/a",
  "example.com/p.2/a",
  "-p/a",
  "p1/a%2fb",
])("refuses %p", (path) => {
  expect(parseRepositoryPath(path)).toBeUndefined();
});

test("names end at 255 characters, tags at 128", () => {
  expect(parseRepositoryPath(`p/${"a".repeat(253)}`)).toBeDefined();
  expect(parseRepositoryPath(`p/${"a".repeat(254)}`)).toBeUndefined();
  expect(parseTag("a".repeat(128))).toBeDefined();
  expect(parseTag("a".repeat(129))).toBeUndefined();
  for (const bad of ["", ".a", "-a", "a/b", "a:b", "ä", "a\n"]) expect(parseTag(bad)).toBeUndefined();
});

test("agrees with the specification's grammar for names", () => {
  const grammar = /^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$/;
  const text = fc.string({ unit: fc.constantFrom(..."ab1._-/"), minLength: 1, maxLength: 12 });
  fc.assert(
    fc.property(text, (image) => {
      expect(parseRepositoryPath(`p/${image}`) !== undefined).toBe(grammar.test(`p/${image}`));
    }),
    { numRuns: 2000 },
  );
});

test("a project's id and its path are two spellings of one thing", () => {
  for (const id of ["p1", "my-project", "example.com:p1"]) {
    expect(parseProjectId(id)).toBe(id as ProjectId);
    expect(parseRepositoryPath(`${projectPath(id as ProjectId)}/x`)?.project).toBe(id as ProjectId);
  }
  for (const bad of ["p/1", "example.com", "a:b", "P"]) expect(parseProjectId(bad)).toBeUndefined();
});

test("buckets are named as Container Registry named them", () => {
  expect(bucketName("gcr.io", "p" as ProjectId)).toBe("artifacts.p.appspot.com");
  expect(bucketName("eu.gcr.io", "p" as ProjectId)).toBe("eu.artifacts.p.appspot.com");
  expect(bucketName("us.gcr.io", "example.com:p" as ProjectId)).toBe("us.artifacts.p.example.com.a.appspot.com");
  expect(bucketName("reg.corp.test", "p" as ProjectId)).toBe("reg.corp.test.artifacts.p.appspot.com");
});
