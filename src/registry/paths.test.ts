import { expect, test } from "bun:test";
import fc from "fast-check";
import { BerthError } from "../http/berth-error.ts";
import { parsePath } from "./paths.ts";

const digest = `sha256:${"a".repeat(64)}`;

test.each([
  ["/v2/", { kind: "ping" }],
  ["/v2/token", { kind: "token" }],
  ["/v2/_catalog", { kind: "catalog" }],
  ["/v2/p/a/manifests/v1", { kind: "manifests", reference: "v1" }],
  [`/v2/p/a/b/blobs/${digest}`, { kind: "blobs", reference: digest }],
  [`/v2/p/a/blobs/${digest.replace(":", "%3A")}`, { kind: "blobs", reference: digest }],
  ["/v2/p/a/blobs/uploads/", { kind: "uploads" }],
  ["/v2/p/a/blobs/uploads", { kind: "uploads" }],
  ["/v2/p/a/blobs/uploads/x.1", { kind: "upload", id: "x.1" }],
  ["/v2/p/tags/list", { kind: "tags" }],
  [`/v2/p/a/referrers/${digest}`, { kind: "referrers", reference: digest }],
  ["/v2/p/manifests/blobs/tags/list", { kind: "tags" }],
] as const)("%s", (path, expected) => {
  expect(parsePath(path)).toMatchObject(expected as never);
});

test("a name may hold the words of the grammar", () => {
  expect(parsePath("/v2/p/tags/manifests/v1")).toMatchObject({ repository: { name: "p/tags" } });
  expect(parsePath("/v2/p/blobs/uploads/manifests/v1")).toMatchObject({ repository: { name: "p/blobs/uploads" } });
});

test.each([
  ["/v2", "NOT_FOUND"],
  ["/v2/p/a", "NOT_FOUND"],
  ["/v2/p/a/manifests", "NOT_FOUND"],
  ["/v1/p/a/manifests/v1", "NOT_FOUND"],
  ["//v2/p/a/manifests/v1", "NOT_FOUND"],
  ["/v2//a/manifests/v1", "NAME_INVALID"],
  ["/v2/p//a/manifests/v1", "NAME_INVALID"],
  ["/v2/p%2Fa/manifests/v1", "NAME_INVALID"],
  ["/v2/p/a%00/manifests/v1", "NAME_INVALID"],
  ["/v2/P/a/manifests/v1", "NAME_INVALID"],
  ["/v2/manifests/v1", "NAME_INVALID"],
] as const)("%s is refused as %s", (path, code) => {
  expect(() => parsePath(path)).toThrow(expect.objectContaining({ code }));
});

test("whatever path, the answer is a target or a refusal", () => {
  const piece = fc.oneof(
    fc.constantFrom("v2", "p", "blobs", "uploads", "manifests", "tags", "list", "%2F", "..", ""),
    fc.string(),
  );
  fc.assert(
    fc.property(fc.array(piece), (pieces) => {
      try {
        parsePath(`/${pieces.join("/")}`);
      } catch (error) {
        expect(error).toBeInstanceOf(BerthError);
      }
    }),
  );
});
