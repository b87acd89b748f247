import { expect, test } from "bun:test";
import fc from "fast-check";
import { withinBounds } from "../access/caller.ts";
import type { RegistryToken, TokenAccess } from "../identity/registry-tokens.ts";
import { bucketName } from "../names/buckets.ts";
import type { ProjectId } from "../names/reference.ts";
import { repositoryResource } from "../names/resources.ts";
import { boundsOf, parseScope } from "./scopes.ts";

test.each([
  ["repository:p/a:pull", { type: "repository", name: "p/a", actions: ["pull"], project: "p" }],
  ["repository:p/a/b:push,pull,pull", { name: "p/a/b", actions: ["push", "pull"] }],
  ["repository:example.com/p/a:pull", { name: "example.com/p/a", project: "example.com:p" }],
  ["repository(plugin):p/a:pull", { name: "p/a" }],
  ["repository:p/*:pull", { name: "p/*", project: "p" }],
  ["repository:p/a:pull,fly", { actions: ["pull"] }],
  ["repository:p/a:", { actions: [] }],
  ["registry:catalog:*", { type: "registry", name: "catalog", actions: ["*"] }],
])("%s", (text, expected) => {
  expect(parseScope(text)).toMatchObject(expected as never);
});

test.each([
  "",
  "repository",
  "repository:p/a",
  "repository:P/a:pull",
  "repository:*:pull",
  "repository:p*:pull",
  "registry:other:*",
  `repository:p/${"a".repeat(2000)}:pull`,
])("%s is none", (text) => {
  expect(parseScope(text)).toBeUndefined();
});

function reach(access: TokenAccess[], host = "gcr.io") {
  const holder = {
    principal: "user:a@b.c",
    accountId: "1",
    keyId: "k",
    tokenIds: [],
    sets: [],
    delegation: [],
    origins: [],
  };
  const token: RegistryToken = { holder, host, access, issuedAt: 0, expiresAt: 0 };
  const caller = { ...holder, identities: new Set([holder.principal]), bounds: boundsOf(token), issuedAt: 0 };
  return (permission: Parameters<typeof withinBounds>[1], name: string, onHost = "gcr.io") =>
    withinBounds(caller, permission, repositoryResource(bucketName(onHost, name.split("/")[0] as ProjectId), name));
}

test("a token reaches what it names, for what it names, on its host, and nothing else", () => {
  const may = reach([{ type: "repository", name: "p/a", actions: ["pull"] }]);
  expect(may("storage.objects.get", "p/a")).toBe(true);
  expect(may("storage.objects.create", "p/a")).toBe(false);
  expect(may("storage.objects.get", "p/a/b")).toBe(false);
  expect(may("storage.objects.get", "p/ab")).toBe(false);
  expect(may("storage.objects.get", "q/a")).toBe(false);
  expect(may("storage.objects.get", "p/a", "us.gcr.io")).toBe(false);
});

test("a star reaches all of its project and nothing of another that begins like it", () => {
  const may = reach([{ type: "repository", name: "p/*", actions: ["pull"] }]);
  expect(may("storage.objects.get", "p/a/b")).toBe(true);
  expect(may("storage.objects.get", "pq/a")).toBe(false);
  expect(may("storage.objects.delete", "p/a")).toBe(false);
});

test("no text reaches further than it reads", () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      const scope = parseScope(text);
      if (scope !== undefined && scope.type === "repository") expect(text).toContain(scope.name);
    }),
  );
});
