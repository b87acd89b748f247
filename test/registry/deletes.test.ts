import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Berth, startBerth } from "../harness/berth.ts";
import { type Caller, callerOf, errorsOf, expectReply } from "../harness/caller.ts";
import { type Content, describe as descriptorOf, pushDocument, pushImage } from "../harness/content.ts";
import { mediaTypes } from "../harness/image-layout.ts";

const repository = "my-project/deletes";
const path = (reference: string): string => `/v2/${repository}/manifests/${reference}`;

let berth: Berth;
let strict: Berth;
beforeAll(async () => {
  [berth, strict] = await Promise.all([startBerth(), startBerth({ args: ["--protect-referenced"] })]);
});
afterAll(() => Promise.all([berth.stop(), strict.stop()]));

const pushIndex = (caller: Caller, children: Content[], note: string, ...tags: string[]): Promise<Content> =>
  pushDocument(
    caller,
    repository,
    {
      mediaType: mediaTypes.index,
      manifests: children.map((child) => descriptorOf(child, mediaTypes.image)),
      annotations: { note },
    },
    ...tags,
  );

/** Where a manifest that is in use cannot be deleted, by host name. */
const guarded: [string, () => Caller][] = [
  ["gcr.io", () => callerOf(berth, { host: "gcr.io" })],
  ["us.gcr.io:443", () => callerOf(berth, { host: "us.gcr.io:443" })],
  ["EU.GCR.IO", () => callerOf(berth, { host: "EU.GCR.IO" })],
  ["any name, with protect-referenced", () => callerOf(strict)],
];

describe.each(guarded)("under %s", (_, callerHere) => {
  const dangling = "GOOGLE_MANIFEST_DANGLING_TAG";
  const parent = "GOOGLE_MANIFEST_DANGLING_PARENT_IMAGE";

  test("a tagged manifest cannot be deleted by its digest until its tags are", async () => {
    const caller = callerHere();
    const { digest } = await pushImage(caller, repository, "tagged", "cdd65fd", "latest");
    const message = "Manifest is still referenced by tag: cdd65fd";
    const refused = await caller.send("DELETE", path(digest));
    expectReply(refused, { status: 400, code: dangling, message });
    expect(errorsOf(refused)).toEqual([{ code: dangling, message }]);
    for (const reference of [digest, "cdd65fd", "latest"]) {
      expectReply(await caller.send("HEAD", path(reference)), { status: 200 });
    }
    expectReply(await caller.send("DELETE", path("cdd65fd")), { status: 202, text: "" });
    const still = await caller.send("DELETE", path(digest));
    expectReply(still, { status: 400, code: dangling, message: "Manifest is still referenced by tag: latest" });
    expectReply(await caller.send("DELETE", path("latest")), { status: 202 });
    expectReply(await caller.send("HEAD", path(digest)), { status: 200 });
    expectReply(await caller.send("DELETE", path(digest)), { status: 202, text: "" });
    expectReply(await caller.send("HEAD", path(digest)), { status: 404 });
  });

  test("a list's child cannot be deleted before the list; the parent's digest is the last word", async () => {
    const caller = callerHere();
    const child = await pushImage(caller, repository, "child");
    const index = await pushIndex(caller, [child], "parent");
    const message = `Manifest ${child.digest} is referenced by image ${index.digest}`;
    expectReply(await caller.send("DELETE", path(child.digest)), { status: 400, code: parent, message });
    expect(message.split(" ").at(-1)).toBe(index.digest);
    expectReply(await caller.send("DELETE", path(index.digest)), { status: 202 });
    expectReply(await caller.send("DELETE", path(child.digest)), { status: 202 });
  });

  test("a list that was there before its child holds it too", async () => {
    const caller = callerHere();
    const late = await pushImage(caller, repository, "late");
    const index = await pushIndex(caller, [late], "early");
    expectReply(await caller.send("DELETE", path(index.digest)), { status: 202 });
    expectReply(await caller.send("DELETE", path(late.digest)), { status: 202 });
    await pushIndex(caller, [late], "early");
    await pushImage(caller, repository, "late");
    expectReply(await caller.send("DELETE", path(late.digest)), { status: 400, code: parent });
    for (const { digest } of [index, late]) expectReply(await caller.send("DELETE", path(digest)), { status: 202 });
  });

  test("of two lists the second still holds the child; the tag is told before the list", async () => {
    const caller = callerHere();
    const child = await pushImage(caller, repository, "twice", "twice");
    const [one, two] = [await pushIndex(caller, [child], "one"), await pushIndex(caller, [child], "two", "two")];
    expectReply(await caller.send("DELETE", path(child.digest)), { status: 400, code: dangling });
    expectReply(await caller.send("DELETE", path("twice")), { status: 202 });
    expectReply(await caller.send("DELETE", path(one.digest)), { status: 202 });
    const message = `Manifest ${child.digest} is referenced by image ${two.digest}`;
    expectReply(await caller.send("DELETE", path(child.digest)), { status: 400, code: parent, message });
    expectReply(await caller.send("DELETE", path(two.digest)), { status: 400, code: dangling });
    for (const reference of ["two", two.digest, child.digest]) {
      expectReply(await caller.send("DELETE", path(reference)), { status: 202 });
    }
  });

  test("a list of another repository holds nothing here", async () => {
    const caller = callerHere();
    const child = await pushImage(caller, repository, "elsewhere");
    const other = { mediaType: mediaTypes.index, manifests: [descriptorOf(child, mediaTypes.image)] };
    await pushDocument(caller, `${repository}-2`, other, "v1");
    expectReply(await caller.send("DELETE", path(child.digest)), { status: 202 });
  });
});

describe("under other names", () => {
  test("a tagged manifest can be deleted by its digest; its tags go with it", async () => {
    const caller = callerOf(berth);
    const { digest } = await pushImage(caller, repository, "tagged", "one", "two");
    expectReply(await caller.send("DELETE", path(digest)), { status: 202, text: "" });
    for (const reference of [digest, "one", "two"]) {
      expectReply(await caller.send("HEAD", path(reference)), { status: 404 });
    }
    const list = await caller.send("GET", `/v2/${repository}/tags/list`);
    expectReply(list, { status: 200 });
    expect(list.text).not.toContain(digest);
  });

  test("a list's child can be deleted; the list becomes sparse, and is whole again once the child is back", async () => {
    const caller = callerOf(berth);
    const child = await pushImage(caller, repository, "sparse child");
    const index = await pushIndex(caller, [child], "sparse", "sparse");
    expectReply(await caller.send("DELETE", path(child.digest)), { status: 202 });
    expectReply(await caller.send("GET", path("sparse")), {
      status: 200,
      headers: { "docker-content-digest": index.digest },
    });
    await pushImage(caller, repository, "sparse child");
    const protectedHere = callerOf(berth, { host: "gcr.io" });
    const code = "GOOGLE_MANIFEST_DANGLING_PARENT_IMAGE";
    expectReply(await protectedHere.send("DELETE", path(child.digest)), { status: 400, code });
  });
});
