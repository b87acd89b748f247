import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Berth, startBerth } from "../harness/berth.ts";
import { type Caller, callerOf, type Expected, expectReply } from "../harness/caller.ts";
import {
  type Content,
  contentOf,
  describe as descriptorOf,
  imageOf,
  pushBlob,
  pushDocument,
  pushImage,
  putManifest,
} from "../harness/content.ts";
import { type Descriptor, type ManifestDocument, mediaTypes } from "../harness/image-layout.ts";

const repository = "my-project/referrers";
const blank = contentOf("{}");
const emptyType = "application/vnd.oci.empty.v1+json";

let berth: Berth;
let caller: Caller;
beforeAll(async () => {
  berth = await startBerth();
  caller = callerOf(berth);
});
afterAll(() => berth.stop());

const pathOf = (digest: string, query = ""): string => `/v2/${repository}/referrers/${digest}${query}`;
/** What a subject of the given content is described as, there or not. */
const subjectOf = (content: Content): Descriptor => descriptorOf(content, mediaTypes.image);

function artifact(subject: Content, changes: Partial<ManifestDocument>): ManifestDocument {
  const config = descriptorOf(blank, emptyType);
  return { mediaType: mediaTypes.image, config, layers: [config], subject: subjectOf(subject), ...changes };
}

async function referrersOf(
  path: string,
): Promise<{ manifests: Descriptor[]; link: string | null; filters: string | null }> {
  const reply = await caller.send("GET", path);
  expectReply(reply, { status: 200, headers: { "content-type": mediaTypes.index } });
  const { manifests, ...rest } = JSON.parse(reply.text) as { manifests: Descriptor[] };
  expect(rest).toEqual({ schemaVersion: 2, mediaType: mediaTypes.index } as object);
  return { manifests, link: reply.headers.get("link"), filters: reply.headers.get("oci-filters-applied") };
}

async function allReferrers(path: string): Promise<Descriptor[][]> {
  const pages: Descriptor[][] = [];
  for (let next: string | undefined = path; next !== undefined;) {
    const { manifests, link } = await referrersOf(next);
    pages.push(manifests);
    next = link === null ? undefined : /^<(\/v2\/[^>]+)>; rel="next"$/.exec(link)?.[1];
  }
  return pages;
}

describe("where nothing refers", () => {
  const subject = contentOf("a subject that was never pushed");
  test("an empty index, in a repository or a registry that does not exist too", async () => {
    for (const name of [repository, "my-project/never"]) {
      const reply = await caller.send("GET", `/v2/${name}/referrers/${subject.digest}`);
      const index = { schemaVersion: 2, mediaType: mediaTypes.index, manifests: [] };
      expectReply(reply, { status: 200, headers: { "content-type": mediaTypes.index, link: null } });
      expect(JSON.parse(reply.text)).toEqual(index);
    }
  });
  const rows: [string, Expected][] = [
    ["sha256:0", { status: 400, code: "DIGEST_INVALID" }],
    ["latest", { status: 400, code: "DIGEST_INVALID" }],
    [`md5:${"0".repeat(32)}`, { status: 400, code: "DIGEST_INVALID" }],
    [`${subject.digest}?n=x`, { status: 400, code: "PAGINATION_INVALID" }],
  ];
  test.each(rows)("%s is refused", async (reference, expected) => {
    await pushBlob(caller, repository, blank);
    expectReply(await caller.send("GET", pathOf(reference)), expected);
  });
});

describe("referrers of one subject", () => {
  const subject = contentOf(JSON.stringify(imageOf("subject").document));
  const annotations = { "org.example.note": 'with "quotes" and ünicode' };
  let expected: Descriptor[];
  beforeAll(async () => {
    await pushBlob(caller, repository, blank);
    const forms: [ManifestDocument, Partial<Descriptor>][] = [
      [
        artifact(subject, { artifactType: "test/signature", annotations }),
        { artifactType: "test/signature", annotations },
      ],
      [artifact(subject, { artifactType: "test/sbom" }), { artifactType: "test/sbom" }],
      // Without a type of its own it is of its config's. [OCI distribution-spec, "Listing Referrers"]
      [
        artifact(subject, { annotations: { of: "config" } }),
        { artifactType: emptyType, annotations: { of: "config" } },
      ],
      [
        { mediaType: mediaTypes.index, artifactType: "test/signature", manifests: [], subject: subjectOf(subject) },
        { artifactType: "test/signature" },
      ],
      [{ mediaType: mediaTypes.index, manifests: [], subject: subjectOf(subject) }, {}],
    ];
    expected = [];
    for (const [document, described] of forms) {
      const body = JSON.stringify({ schemaVersion: 2, ...document });
      const reply = await putManifest(caller, repository, contentOf(body).digest, body, document.mediaType);
      expectReply(reply, { status: 201, headers: { "oci-subject": subject.digest } });
      expected.push({ ...descriptorOf(contentOf(body), document.mediaType as string), ...described });
    }
    expected.sort((one, two) => (one.digest < two.digest ? -1 : 1));
    // Neither a manifest of another subject nor another repository's.
    await pushDocument(caller, repository, artifact(contentOf("another subject"), { artifactType: "test/sbom" }));
    await pushBlob(caller, `${repository}-2`, blank);
    await pushDocument(caller, `${repository}-2`, artifact(subject, { artifactType: "test/elsewhere" }));
  });

  test("each is described in full, before its subject is there and after", async () => {
    for (let round = 0; round < 2; round++) {
      const { manifests, link, filters } = await referrersOf(pathOf(subject.digest));
      expect(manifests).toEqual(expected);
      expect([link, filters]).toEqual([null, null]);
      const { digest } = await pushImage(caller, repository, "subject", "subject");
      expect(digest).toBe(subject.digest);
    }
  });

  test.each(["test/signature", "test/sbom", emptyType, "test/none", "'; DROP TABLE manifests; --"])(
    "filtered by the artifact type %s, which the reply says",
    async (artifactType) => {
      const query = `?${new URLSearchParams({ artifactType })}`;
      const { manifests, filters } = await referrersOf(pathOf(subject.digest, query));
      expect(manifests).toEqual(expected.filter((each) => each.artifactType === artifactType));
      expect(filters).toBe("artifactType");
    },
  );

  test.each([1, 2, 3, 5, 9])("in pages of %p", async (n) => {
    const pages = await allReferrers(pathOf(subject.digest, `?n=${n}`));
    expect(pages.flat()).toEqual(expected);
    expect(pages).toHaveLength(Math.ceil(expected.length / n));
    const type = "test/signature";
    const filtered = await allReferrers(pathOf(subject.digest, `?n=1&artifactType=${encodeURIComponent(type)}`));
    expect(filtered.flat()).toEqual(expected.filter(({ artifactType }) => artifactType === type));
    expect(filtered).toHaveLength(2);
  });

  test("one that was deleted no longer refers; the subject's delete takes none along", async () => {
    const document = artifact(subject, { annotations: { short: "lived" } });
    const { digest } = await pushDocument(caller, repository, document);
    expect((await referrersOf(pathOf(subject.digest))).manifests.map((each) => each.digest)).toContain(digest);
    expectReply(await caller.send("DELETE", `/v2/${repository}/manifests/${digest}`), { status: 202 });
    expectReply(await caller.send("DELETE", `/v2/${repository}/manifests/${subject.digest}`), { status: 202 });
    expect((await referrersOf(pathOf(subject.digest))).manifests).toEqual(expected);
  });

  test("a subject by sha512", async () => {
    const long = contentOf("a subject of sha512", "sha512");
    const { digest } = await pushDocument(caller, repository, artifact(long, {}));
    expect((await referrersOf(pathOf(long.digest))).manifests.map((each) => each.digest)).toEqual([digest]);
  });
});

describe("many and large referrers", () => {
  test("more than are read at a time", async () => {
    await pushBlob(caller, repository, blank);
    const subject = contentOf("much referred to");
    const digests = await Promise.all(
      Array.from({ length: 130 }, async (_, i) => {
        return (await pushDocument(caller, repository, artifact(subject, { annotations: { number: String(i) } })))
          .digest;
      }),
    );
    const { manifests, link } = await referrersOf(pathOf(subject.digest));
    expect(manifests.map(({ digest }) => digest)).toEqual(digests.sort());
    expect(link).toBeNull();
    const pages = await allReferrers(pathOf(subject.digest, "?n=100"));
    expect(pages.map((page) => page.length)).toEqual([100, 30]);
    expect(pages.flat()).toEqual(manifests);
  });

  test("a page stays below the 4 MiB that clients read", async () => {
    await pushBlob(caller, repository, blank);
    const subject = contentOf("largely referred to");
    for (let i = 0; i < 5; i++) {
      await pushDocument(
        caller,
        repository,
        artifact(subject, { annotations: { large: String(i).repeat(1_000_000) } }),
      );
    }
    const pages = await allReferrers(pathOf(subject.digest));
    expect(pages.length).toBeGreaterThan(1);
    expect(new Set(pages.flat().map(({ digest }) => digest)).size).toBe(5);
    for (const page of pages) expect(JSON.stringify(page).length).toBeLessThan(4 * 2 ** 20);
  });
});

test("the tag that clients fall back to is an index like any other", async () => {
  await pushBlob(caller, repository, blank);
  const subject = contentOf("an old client's subject");
  const tag = subject.digest.replace(":", "-");
  const { digest } = await pushDocument(caller, repository, artifact(subject, { artifactType: "test/fallback" }));
  const entry = { mediaType: mediaTypes.image, digest, size: 1, artifactType: "test/fallback" };
  const index = { mediaType: mediaTypes.index, manifests: [entry] };
  await pushDocument(caller, repository, index, tag);
  const reply = await caller.send("GET", `/v2/${repository}/manifests/${tag}`);
  expectReply(reply, { status: 200, headers: { "content-type": mediaTypes.index }, json: index });
});
