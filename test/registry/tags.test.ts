import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Berth, startBerth } from "../harness/berth.ts";
import { type Caller, callerOf, type Expected, expectReply } from "../harness/caller.ts";
import {
  contentOf,
  describe as descriptorOf,
  imageOf,
  pushBlob,
  pushDocument,
  pushImage,
  putManifest,
} from "../harness/content.ts";
import { mediaTypes } from "../harness/image-layout.ts";

const repository = "my-project/tags";

let berth: Berth;
let caller: Caller;
beforeAll(async () => {
  berth = await startBerth();
  caller = callerOf(berth);
});
afterAll(() => berth.stop());

interface Entry {
  tag: string[];
}

interface Listing {
  child?: string[];
  manifest?: Record<string, Record<string, unknown>>;
  name: string;
  tags: string[];
}

async function list(name: string, query = ""): Promise<Listing> {
  const reply = await caller.send("GET", `/v2/${name}/tags/list${query}`);
  expectReply(reply, { status: 200, headers: { "content-type": /^application\/json\b/ } });
  return JSON.parse(reply.text) as Listing;
}

/** Follows the Links of a listing to its end. */
async function pagesOf(path: string): Promise<Listing[]> {
  const pages: Listing[] = [];
  for (let next: string | undefined = path; next !== undefined;) {
    const reply = await caller.send("GET", next);
    expectReply(reply, { status: 200 });
    pages.push(JSON.parse(reply.text) as Listing);
    const link = reply.headers.get("link");
    next = link === null ? undefined : /^<(\/v2\/[^?>]+\/tags\/list\?[^>]+)>; rel="next"$/.exec(link)?.[1];
    if (link !== null && next === undefined) throw new Error(`not a Link: ${link}`);
  }
  return pages;
}

describe("the listing that Container Registry extended", () => {
  const name = "my-project/listed";
  let before = 0;
  let after = 0;
  beforeAll(async () => {
    before = Date.now();
    const image = await pushImage(caller, name, "listed", "v1", "latest");
    await pushImage(caller, name, "untagged");
    const children = [descriptorOf(image, mediaTypes.image)];
    await pushDocument(caller, name, { mediaType: mediaTypes.index, manifests: children }, "index");
    const old = contentOf('{"created":"1969-12-31T00:00:00Z"}');
    const bare = contentOf('{"os":"linux"}');
    for (const config of [old, bare]) {
      await pushBlob(caller, name, config);
      const document = {
        mediaType: mediaTypes.dockerImage,
        config: descriptorOf(config, mediaTypes.config),
        layers: [],
      };
      await pushDocument(caller, name, document, config === old ? "old" : "bare");
    }
    for (const below of ["sub", "sub/deeper", "other/deeper"])
      await pushImage(caller, `${name}/${below}`, "below", "v1");
    after = Date.now();
  });

  test("every manifest, tagged or not, with what gcloud and gcrane read; numbers are strings", async () => {
    const { manifest = {}, ...rest } = await list(name);
    expect(rest).toEqual({ name, child: ["other", "sub"], tags: ["bare", "index", "latest", "old", "v1"] });
    const { layers } = imageOf("listed");
    const size = layers.reduce((sum, layer) => sum + layer.size, 0);
    const created = String(Date.parse("2024-05-06T07:08:09Z"));
    const seen: object[] = Object.values(manifest).map(({ timeUploadedMs, ...entry }) => {
      expect(timeUploadedMs).toBeString();
      expect(Number(timeUploadedMs)).toBeWithin(before, after + 1);
      return entry;
    });
    const entry = (tag: string[], mediaType: string, imageSizeBytes: string, timeCreatedMs: string): object => {
      return { tag, mediaType, imageSizeBytes, timeCreatedMs, layerId: "" };
    };
    const untagged = imageOf("untagged").layers.reduce((sum, layer) => sum + layer.size, 0);
    const byTag = (one: object, two: object): number =>
      String((one as Entry).tag) < String((two as Entry).tag) ? -1 : 1;
    expect(seen.sort(byTag)).toEqual(
      [
        entry(["latest", "v1"], mediaTypes.image, String(size), created),
        entry([], mediaTypes.image, String(untagged), created),
        entry(["index"], mediaTypes.index, "0", "0"),
        entry(["old"], mediaTypes.dockerImage, "0", "-86400000"),
        entry(["bare"], mediaTypes.dockerImage, "0", "0"),
      ].sort(byTag) as never,
    );
    for (const digest of Object.keys(manifest)) expect(digest).toMatch(/^sha256:[0-9a-f]{64}$/);
  });

  test("the first page, and only that, carries the whole map", async () => {
    const whole = await list(name);
    const pages = await pagesOf(`/v2/${name}/tags/list?n=2`);
    expect(pages.map(({ tags }) => tags)).toEqual([["bare", "index"], ["latest", "old"], ["v1"]]);
    const [first, ...others] = pages;
    expect(first).toEqual({ ...whole, tags: ["bare", "index"] });
    for (const { child, manifest } of others) expect([child, manifest]).toEqual([undefined, undefined]);
    // As ggcr asks: it takes a reply with a map as complete.
    expect(await list(name, "?n=1000")).toEqual(whole);
    expect(await list(name, "?n=10000")).toEqual(whole);
  });

  test("list-gcr-usage", async () => {
    for (const path of [name, "my-project"]) {
      const reply = await caller.send("GET", `/v2/${path}/tags/list?check_usage_only=true`);
      expectReply(reply, { status: 200 });
      expect(JSON.parse(reply.text)).toEqual({ usage: "ACTIVE" });
    }
  });
});

describe("directories", () => {
  /** Neighbours in byte order of `x` and of what is below it. */
  const names = ["x", "x/y", "x/y/z", "x-y", "x.y", "x0", "x00", "x0/y", "xy", "x_y", "deep/er/est", "deep0", "deep0y"];
  beforeAll(async () => {
    for (const name of names) await pushImage(caller, `my-project/walk/${name}`, "walk", "v1");
  });

  const children = (of: string): string[] => [
    ...new Set(
      names.filter((name) => name.startsWith(of)).map((name) => name.slice(of.length).split("/")[0] as string),
    ),
  ];
  test.each(["", "x/", "x/y/", "x0/", "deep/", "deep/er/"])(
    "below %p: the next segments, each once",
    async (directory) => {
      const { child } = await list(`my-project/walk/${directory}`.slice(0, -1));
      expect(child).toEqual(children(directory).sort());
    },
  );

  test("a directory without images of its own is listed, empty", async () => {
    expect(await list("my-project/walk/deep")).toEqual({
      name: "my-project/walk/deep",
      child: ["er"],
      manifest: {},
      tags: [],
    });
  });

  test("a walk from the project's root, one request for each directory, meets every repository", async () => {
    const met: string[] = [];
    const walk = async (path: string): Promise<void> => {
      const { child = [], tags } = await list(path);
      if (tags.length > 0) met.push(path);
      for (const segment of child) await walk(`${path}/${segment}`);
    };
    await walk("my-project/walk");
    expect(met.sort()).toEqual(names.map((name) => `my-project/walk/${name}`).sort());
    expect((await list("my-project")).child).toContain("walk");
  });

  test("what an upload left that was given up is not listed", async () => {
    const begun = await caller.send("POST", "/v2/my-project/walk/given/up/blobs/uploads/");
    expectReply(await caller.send("DELETE", begun.headers.get("location") as string), { status: 204 });
    expect((await list("my-project/walk")).child).not.toContain("given");
  });

  test("names that begin alike are not below it", async () => {
    const reply = await caller.send("GET", "/v2/my-project/wal/tags/list");
    expectReply(reply, { status: 404, code: "NAME_UNKNOWN" });
  });
});

describe("pages", () => {
  const tags = ["A", "Z", "_", "a", "a.b", "a0", "v1", "v1.0", "v1.0.0", "v10", "v2"].sort();
  beforeAll(() => pushImage(caller, repository, "pages", ...tags));

  test.each([1, 2, 5, tags.length - 1, tags.length, tags.length + 1])("of %p", async (n) => {
    const pages = await pagesOf(`/v2/${repository}/tags/list?n=${n}`);
    expect(pages.flatMap((page) => page.tags)).toEqual(tags);
    expect(pages).toHaveLength(Math.ceil(tags.length / n));
  });

  const after = (last: string): string[] => tags.filter((tag) => tag > last);
  const rows: [string, Expected][] = [
    ["n=0", { status: 200, headers: { link: null }, text: JSON.stringify({ name: repository, tags: [] }) }],
    ["n=0&last=a", { status: 200, headers: { link: null }, text: JSON.stringify({ name: repository, tags: [] }) }],
    ["last=a", { status: 200, headers: { link: null }, json: { tags: after("a") } }],
    ["last=nothing-here", { status: 200, headers: { link: null }, json: { tags: after("nothing-here") } }],
    ["last=zzz", { status: 200, headers: { link: null }, json: { tags: [] } }],
    ["last=zzz&n=5", { status: 200, headers: { link: null }, json: { tags: [] } }],
    ["last=v1&n=2", { status: 200, json: { tags: ["v1.0", "v1.0.0"] } }],
    ["n=2147483648", { status: 200, headers: { link: null }, json: { tags } }],
    ["n=999999999999999", { status: 200, headers: { link: null }, json: { tags } }],
    ["n=-1", { status: 400, code: "PAGINATION_INVALID" }],
    ["n=1e3", { status: 400, code: "PAGINATION_INVALID" }],
    ["n=", { status: 400, code: "PAGINATION_INVALID" }],
    ["n=99999999999999999999", { status: 400, code: "PAGINATION_INVALID" }],
    ["unheard=of", { status: 200, json: { tags } }],
  ];
  test.each(rows)("?%s", async (query, expected) => {
    expectReply(await caller.send("GET", `/v2/${repository}/tags/list?${query}`), expected);
  });

  test("HEAD of a manifest and a list tell the same after a delete", async () => {
    await pushImage(caller, repository, "pages", "short-lived");
    expect((await list(repository)).tags).toContain("short-lived");
    expectReply(await caller.send("DELETE", `/v2/${repository}/manifests/short-lived`), { status: 202 });
    expect((await list(repository)).tags).toEqual(tags);
  });
});

describe("what is not there", () => {
  test("a repository that nothing was pushed to", async () => {
    const reply = await caller.send("GET", "/v2/my-project/nothing/tags/list");
    expectReply(reply, { status: 404, code: "NAME_UNKNOWN" });
  });

  test("a repository that was emptied is listed, empty", async () => {
    const { digest } = await pushImage(caller, "my-project/emptied", "emptied", "v1");
    expectReply(await caller.send("DELETE", `/v2/my-project/emptied/manifests/${digest}`), { status: 202 });
    expect(await list("my-project/emptied")).toEqual({ name: "my-project/emptied", child: [], manifest: {}, tags: [] });
  });

  test("the root of a project is listed as soon as its registry is there, with no image in it", async () => {
    const sender = callerOf(berth, { host: "asia.gcr.io" });
    const path = "/v2/my-project/tags/list";
    expectReply(await sender.send("GET", path), { status: 404, code: "NAME_UNKNOWN" });
    const query = "service=gcr.io&scope=repository:my-project/my-repo:push,pull";
    expectReply(await sender.send("GET", `/v2/token?${query}`), { status: 200 });
    const reply = await sender.send("GET", path);
    expectReply(reply, { status: 200 });
    expect(JSON.parse(reply.text)).toEqual({ name: "my-project", child: [], manifest: {}, tags: [] });
  });
});

describe("long lists", () => {
  const name = "my-project/long";
  const perPush = 100;
  /** One more than the largest page. */
  const tagCount = 10_001;
  const digests: string[] = [];
  const tags = Array.from({ length: tagCount }, (_, i) => `t${String(i).padStart(5, "0")}`);
  beforeAll(async () => {
    // More manifests than are read from the database at a time.
    const config = contentOf("{}");
    await pushBlob(caller, name, config);
    for (let i = 0; i < 520; i += 8) {
      const batch = Array.from({ length: 8 }, (_, j) => ({
        mediaType: mediaTypes.image,
        config: descriptorOf(config, "application/vnd.oci.empty.v1+json"),
        layers: [],
        annotations: { number: String(i + j) },
      }));
      digests.push(
        ...(await Promise.all(batch.map((each) => pushDocument(caller, name, each)))).map(({ digest }) => digest),
      );
    }
    const tagged = JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.index, manifests: [] });
    const { digest } = contentOf(tagged);
    for (let i = 0; i < tagCount; i += perPush) {
      const query = tags
        .slice(i, i + perPush)
        .map((tag) => `tag=${tag}`)
        .join("&");
      expectReply(await putManifest(caller, name, `${digest}?${query}`, tagged, mediaTypes.index), { status: 201 });
    }
    digests.push(digest);
  });

  test("without n everything is in one reply, streamed", async () => {
    const reply = await caller.send("GET", `/v2/${name}/tags/list`);
    expectReply(reply, { status: 200, headers: { link: null } });
    const listing = JSON.parse(reply.text) as Listing;
    expect(listing.tags).toEqual(tags);
    expect(Object.keys(listing.manifest ?? {}).sort()).toEqual(digests.sort());
    expect(Object.values(listing.manifest ?? {}).flatMap((entry) => entry.tag)).toEqual(tags);
  });

  test("a huge n gets the largest page and a Link to the rest", async () => {
    const reply = await caller.send("GET", `/v2/${name}/tags/list?n=2147483648`);
    const link = `</v2/${name}/tags/list?n=10000&last=t09999>; rel="next"`;
    expectReply(reply, { status: 200, headers: { link } });
    expect((JSON.parse(reply.text) as Listing).tags).toEqual(tags.slice(0, 10_000));
    expect(await list(name, "?n=10000&last=t09999")).toEqual({ name, tags: ["t10000"] });
  });

  test("without n, from a place on", async () => {
    expect(await list(name, "?last=t00000")).toEqual({ name, tags: tags.slice(1) });
  });
});
