import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { exportJWK, exportSPKI, generateKeyPair, importJWK, type JWK, SignJWT } from "jose";
import { startBerth, until } from "../harness/berth.ts";
import { basic, bearer, type Caller, callerOf, expectReply } from "../harness/caller.ts";
import { contentOf, imageOf, noise, pushBlob, pushImage, putManifest } from "../harness/content.ts";
import { mediaTypes } from "../harness/image-layout.ts";
import { rawHead, sendUntilReply } from "../harness/raw-http.ts";
import { type Claims, encode, readToken, signingPairOf, signToken } from "./forged-tokens.ts";
import { peakMemory } from "./processes.ts";
import { type Rivals, startRivals } from "./rivals.ts";

/** What CNCF distribution had to mend. */
let rivals: Rivals;
let owner: Caller;
beforeAll(async () => {
  rivals = await startRivals();
  ({ owner } = rivals);
});
afterAll(() => rivals.berth.stop());

test("CVE-2017-11468, zot #3977, zot #3978: no body is read for longer than it may be", async () => {
  const { berth } = rivals;
  const chunk = Buffer.concat([Buffer.from("10000\r\n"), Buffer.alloc(0x10000, "["), Buffer.from("\r\n")]);
  const headers = { authorization: basic(berth.key), "transfer-encoding": "chunked" };
  const endless = async (line: string): Promise<number> =>
    (await sendUntilReply(berth.port, rawHead(line, headers), chunk)).status;
  for (let round = 0; round < 5; round++) {
    const manifests = await Promise.all(
      Array.from({ length: 8 }, (_, i) => endless(`PUT /v2/my-project/endless/manifests/v${i}`)),
    );
    expect(manifests).toEqual(Array.from({ length: 8 }, () => 413));
    expect(await endless("POST /v2/token")).toBe(400);
  }
  expect(peakMemory(berth)).toBeLessThan(400);
});

describe("GHSA-qq97-vm5h-rrhg: a document that is an image to one client and an index to another is refused", () => {
  const { document } = imageOf("confused");
  const both = { ...document, manifests: [] };
  const types = [mediaTypes.image, mediaTypes.index, mediaTypes.dockerImage, mediaTypes.dockerList];
  const refused = { status: 400, code: "MANIFEST_INVALID" };

  test.each(types)("layers and manifests, as %s", async (type) => {
    for (const mediaType of [type, undefined]) {
      const body = JSON.stringify({ ...both, mediaType });
      expectReply(await putManifest(owner, "my-project/confused", "v1", body, type), refused);
      const { manifests: _, ...withLayers } = both;
      const { layers: __, config: ___, ...withManifests } = both;
      const isIndex = type === mediaTypes.index || type === mediaTypes.dockerList;
      const other = JSON.stringify({ ...(isIndex ? withLayers : withManifests), mediaType });
      expectReply(await putManifest(owner, "my-project/confused", "v1", other, type), refused);
    }
  });

  test.each(types)("mediaType %s under another Content-Type", async (type) => {
    for (const contentType of types.filter((each) => each !== type)) {
      for (const shape of [document, { schemaVersion: 2, manifests: [] }]) {
        const body = JSON.stringify({ ...shape, mediaType: type });
        expectReply(await putManifest(owner, "my-project/confused", "v1", body, contentType), refused);
      }
    }
  });

  // Go's parser, and so most clients', looks away from case and takes the last of two keys that are then equal.
  test.each(["Layers", "LAYERS", "layer\u017f", "Config", "mediatype", "Manifests", "Subject"])(
    "%s, which clients written in Go take for the key it resembles",
    async (key) => {
      await pushImage(owner, "my-project/folded", "confused", "v1");
      const other = document.layers?.[0];
      const values: Record<string, unknown> = { mediatype: mediaTypes.index, Config: other, Subject: other };
      const body = JSON.stringify({ ...document, [key]: values[key] ?? [] });
      expectReply(await putManifest(owner, "my-project/folded", "folded", body, mediaTypes.image), refused);
    },
  );

  test("the same in a descriptor", async () => {
    const [lower, upper] = document.layers as [object, { digest: string }];
    const body = JSON.stringify({ ...document, layers: [{ ...lower, Digest: upper.digest }] });
    expectReply(await putManifest(owner, "my-project/folded", "folded", body, mediaTypes.image), refused);
  });

  test("keys of annotations may differ by case: there every spelling is a key of its own", async () => {
    const body = JSON.stringify({ ...document, annotations: { note: "1", Note: "2", layers: "3" } });
    expectReply(await putManifest(owner, "my-project/folded", "notes", body, mediaTypes.image), { status: 201 });
  });
});

test("CVE-2023-2253: no memory is set aside for the n of a page", async () => {
  const { berth } = rivals;
  const digest = `sha256:${"0".repeat(64)}`;
  await pushImage(owner, "my-project/pages", "pages", "v1");
  const before = peakMemory(berth);
  for (const path of ["_catalog", "my-project/pages/tags/list", `my-project/pages/referrers/${digest}`]) {
    for (const n of [2 ** 31 - 1, 2 ** 31, 2 ** 32, 999_999_999_999_999]) {
      expectReply(await owner.send("GET", `/v2/${path}?n=${n}`), { status: 200 });
    }
    expectReply(await owner.send("GET", `/v2/${path}?n=${2n ** 64n}`), { status: 400, code: "PAGINATION_INVALID" });
  }
  expect(peakMemory(berth) - before).toBeLessThan(50);
});

describe("CVE-2025-24976: a token counts only if a key of the server's own signed it, with its own algorithm", () => {
  const path = "/v2/my-project/tokens/manifests/v1";
  let hits = 0;
  let keySite: ReturnType<typeof Bun.serve>;
  let own: JWK;
  let ownPublic: JWK;
  let claims: Claims;
  let kid: string;
  beforeAll(async () => {
    await pushImage(owner, "my-project/tokens", "tokens", "v1");
    const { header, claims: genuine } = readToken(await rivals.berth.token("repository:my-project/tokens:pull"));
    [claims, kid] = [genuine, String(header.kid)];
    const pair = await generateKeyPair("ES256", { extractable: true });
    [own, ownPublic] = await Promise.all([exportJWK(pair.privateKey), exportJWK(pair.publicKey)]);
    keySite = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch() {
        hits++;
        return Response.json({ keys: [{ ...ownPublic, kid }] });
      },
    });
  });
  afterAll(() => keySite.stop(true));

  const use = (token: string) => callerOf(rivals.berth, { authorization: bearer(token) }).send("GET", path);
  const refused = { status: 401, code: "UNAUTHORIZED", headers: { "www-authenticate": /error="invalid_token"$/ } };

  test("one that is signed by the key as it stands in the data is good: the rest below is refused for its own sake", async () => {
    expectReply(await use(await signToken(claims, signingPairOf(rivals.berth).privateJwk, { kid })), { status: 200 });
  });

  const headers: [string, () => object][] = [
    ["its key embedded", () => ({ kid, jwk: ownPublic })],
    ["its key embedded under the id of the server's", () => ({ kid, jwk: { ...ownPublic, kid } })],
    ["a place to fetch the key from (jku)", () => ({ kid, jku: `${keySite.url}keys` })],
    ["a place to fetch the certificate from (x5u)", () => ({ kid, x5u: `${keySite.url}chain` })],
    ["a chain of certificates (x5c)", () => ({ kid, x5c: [Buffer.from("chain").toString("base64")] })],
    ["the right id and nothing else", () => ({ kid })],
    ["no id", () => ({})],
    ["an id that is a path", () => ({ kid: "../../../../dev/null" })],
    ["an id that is SQL", () => ({ kid: `x' UNION SELECT '${kid}` })],
    ["an id that is everything's", () => ({ kid: "__proto__" })],
    ["a critical header", () => ({ kid, crit: ["exp"], exp: 1 })],
  ];
  test.each(headers)("another's signature, with %s", async (_, header) => {
    const fields = { alg: "ES256", ...header() };
    const input = `${encode(fields)}.${encode(claims)}`;
    const key = await crypto.subtle.importKey("jwk", own as JsonWebKey, { name: "ECDSA", namedCurve: "P-256" }, false, [
      "sign",
    ]);
    const signature = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, key, Buffer.from(input));
    expectReply(await use(`${input}.${Buffer.from(signature).toString("base64url")}`), refused);
    expect(hits).toBe(0);
  });

  test("no signature at all", async () => {
    const genuine = (await rivals.berth.token("repository:my-project/tokens:pull")).split(".");
    const signature = genuine[2] as string;
    const body = encode(claims);
    for (const alg of ["none", "None", "NONE", "nOnE", ""]) {
      for (const end of ["", signature]) expectReply(await use(`${encode({ alg, kid })}.${body}.${end}`), refused);
    }
    for (const token of [`${genuine[0]}.${body}.`, `${genuine[0]}.${body}`, `..${signature}`, "...", `.${body}.`]) {
      expectReply(await use(token), refused);
    }
    // All zeros passed for a signature by ECDSA in Java. [CVE-2022-21449]
    expectReply(
      await use(`${encode({ alg: "ES256", kid })}.${body}.${Buffer.alloc(64).toString("base64url")}`),
      refused,
    );
  });

  test("the public key taken for a secret (HS256)", async () => {
    const { publicJwk } = signingPairOf(rivals.berth);
    const pem = await exportSPKI((await importJWK(publicJwk, "ES256", { extractable: true })) as never);
    for (const secret of [pem, pem.trim(), JSON.stringify(publicJwk), String(publicJwk.x), "", kid]) {
      const hasher = new Bun.CryptoHasher("sha256", secret === "" ? "\0" : secret);
      const input = `${encode({ alg: "HS256", kid, typ: "JWT" })}.${encode(claims)}`;
      expectReply(await use(`${input}.${hasher.update(input).digest("base64url")}`), refused);
    }
  });

  test("other claims under a genuine signature", async () => {
    const token = await rivals.berth.token("repository:my-project/tokens:push");
    const [header, , signature] = token.split(".");
    expectReply(await use(`${header}.${encode(claims)}.${signature}`), refused);
  });

  const now = Math.floor(Date.now() / 1000);
  const changes: [string, Claims][] = [
    ["expired", { exp: now - 1 }],
    ["without an end", { exp: undefined }],
    ["without a beginning (Harbor #23270)", { iat: undefined }],
    ["with a beginning that is none (Harbor #23270)", { iat: "yesterday" }],
    ["of another issuer", { iss: "https://accounts.google.com" }],
    ["of no issuer", { iss: undefined }],
    ["for another host", { aud: "us.gcr.io" }],
    ["for several hosts", { aud: ["gcr.io", "us.gcr.io"] }],
    ["for no host", { aud: undefined }],
    ["of nobody", { sub: undefined }],
    ["of a key that is not there", { key: "0".repeat(40) }],
    ["of no key", { key: undefined }],
    ["with no access", { access: undefined }],
    ["with access of another form", { access: { type: "repository", name: "my-project/tokens", actions: ["pull"] } }],
    ["with actions of another form", { access: [{ type: "repository", name: "my-project/tokens", actions: "pull" }] }],
  ];
  test.each(changes)("the server's own signature over claims %s", async (_, change) => {
    const token = await signToken({ ...claims, ...change }, signingPairOf(rivals.berth).privateJwk, { kid });
    expectReply(await use(token), refused);
  });

  test("a token that is no text, or all too long", async () => {
    const token = await new SignJWT({ sub: "x".repeat(9000) })
      .setProtectedHeader({ alg: "ES256", kid })
      .sign(await importJWK(own, "ES256"));
    for (const text of [token, "%00", "e30.e30.e30", "e30=.e30=.e30=", `${"a.".repeat(2000)}`, "🙂".normalize()]) {
      const reply = await use(encodeURI(text));
      expectReply(reply, refused);
    }
  });

  test("one that has been used is not good for longer than it says", async () => {
    const exp = Math.floor(Date.now() / 1000) + 2;
    const token = await signToken({ ...claims, exp }, signingPairOf(rivals.berth).privateJwk, { kid });
    expectReply(await use(token), { status: 200 });
    const reply = await until(async () => {
      const next = await use(token);
      return next.status === 200 ? undefined : next;
    });
    expectReply(reply, refused);
    expect(Date.now()).toBeGreaterThanOrEqual(exp * 1000);
  });

  test("one that is shown at the token endpoint gets none that lives longer than itself", async () => {
    const exp = Math.floor(Date.now() / 1000) + 60;
    const short = await signToken({ ...claims, exp }, signingPairOf(rivals.berth).privateJwk, { kid });
    const holder = callerOf(rivals.berth, { authorization: bearer(short) });
    const reply = await holder.send("GET", "/v2/token?scope=repository:my-project/tokens:pull");
    if (reply.status === 200) {
      const { token, expires_in } = JSON.parse(reply.text) as { token: string; expires_in: number };
      expect(Number(readToken(token).claims.exp)).toBeLessThanOrEqual(exp);
      expect(expires_in).toBeLessThanOrEqual(60);
    } else expectReply(reply, { status: 401 });
  });
});

describe("CVE-2026-35172: what a cache holds opens nothing", () => {
  const sizes: [string, number][] = [
    ["a small blob, which is kept in memory", 500],
    ["a large blob", 200_000],
  ];
  test.each(sizes)("%s, deleted here and read elsewhere", async (_, size) => {
    const content = contentOf(noise("cached", size));
    const [here, elsewhere] = ["my-project/cache-a", "my-project/cache-b"];
    for (const repository of [here, elsewhere]) await pushBlob(owner, repository, content);
    const path = (repository: string): string => `/v2/${repository}/blobs/${content.digest}`;
    expectReply(await owner.send("GET", path(here)), { status: 200 });
    expectReply(await owner.send("DELETE", path(here)), { status: 202 });
    for (let round = 0; round < 3; round++) {
      expectReply(await owner.send("GET", path(elsewhere)), { status: 200 });
      for (const method of ["GET", "HEAD"]) expectReply(await owner.send(method, path(here)), { status: 404 });
      const conditional = { headers: { "if-none-match": `"${content.digest}"` } };
      expectReply(await owner.send("GET", path(here), conditional), { status: 404 });
    }
  });

  test("a manifest, deleted here and read elsewhere", async () => {
    const path = (repository: string): string => `/v2/my-project/${repository}/manifests/`;
    const { digest } = await pushImage(owner, "my-project/cache-c", "cached", "v1");
    await pushImage(owner, "my-project/cache-d", "cached", "v1");
    for (const reference of ["v1", digest])
      expectReply(await owner.send("GET", path("cache-c") + reference), { status: 200 });
    expectReply(await owner.send("DELETE", path("cache-c") + digest), { status: 202 });
    for (const reference of ["v1", digest]) {
      expectReply(await owner.send("GET", path("cache-d") + reference), { status: 200 });
      expectReply(await owner.send("GET", path("cache-c") + reference), { status: 404 });
    }
  });
});

describe("CVE-2026-41888: every way to delete is guarded alike", () => {
  test("for who may not delete, and everything is still there", async () => {
    const repository = "my-project/guarded";
    const { digest } = await pushImage(owner, repository, "guarded", "v1");
    const loose = contentOf("not in any manifest");
    await pushBlob(owner, repository, loose);
    const paths = [`manifests/v1`, `manifests/${digest}`, `blobs/${loose.digest}`].map(
      (path) => `/v2/${repository}/${path}`,
    );
    const pull = callerOf(rivals.berth, {
      authorization: bearer(await rivals.berth.token(`repository:${repository}:pull`)),
    });
    for (const path of paths) {
      for (const [caller, status] of [
        [pull, 401],
        [rivals.nobody, 401],
        [rivals.stranger, 403],
      ] as const) {
        expectReply(await caller.send("DELETE", path), { status });
      }
      expectReply(await owner.send("HEAD", path), { status: 200 });
    }
  });

  test("for what is guarded by protect-referenced: by digest, through a second tag, through a list", async () => {
    const guarded = callerOf(rivals.berth, { host: "gcr.io" });
    const { digest } = await pushImage(guarded, "my-project/guarded", "referenced", "a", "b");
    const path = `/v2/my-project/guarded/manifests/${digest}`;
    for (const tag of ["a", "b"]) {
      expectReply(await guarded.send("DELETE", path), { status: 400, code: "GOOGLE_MANIFEST_DANGLING_TAG" });
      expectReply(await guarded.send("DELETE", `/v2/my-project/guarded/manifests/${tag}`), { status: 202 });
    }
    expectReply(await guarded.send("DELETE", path), { status: 202 });
  });
});

test("distribution #4860: what stands in the staging directory under any name does not end the sweep", async () => {
  const first = await startBerth();
  const { data } = first;
  await first.terminate();
  const long = new Date(Date.now() - 3 * 86_400_000);
  const names = ["x", ".", "..", "a.b", ".hidden", "0", `${"0".repeat(36)}.x`, "check.1", "☃"].filter(
    (name) => !/^\.+$/.test(name),
  );
  const paths = names.map((name) => join(data, "blobs/staging", name));
  for (const path of paths) {
    writeFileSync(path, "left over");
    utimesSync(path, long, long);
  }
  const second = await startBerth({ data });
  try {
    await until(() => paths.every((path) => !existsSync(path)) || undefined);
    expect(second.output()).not.toContain("sweep failed");
    await pushImage(callerOf(second), "my-project/app", "after the sweep", "v1");
  } finally {
    await second.stop();
    await first.stop();
  }
});

test("distribution #4898, #4904: no repository is lost between pages because its name begins like another's", async () => {
  const names = ["lex", "lex-a", "lex.a", "lex/a", "lex/a/b", "lex/aa", "lex0", "lex_a", "lexa", "lexa/b"].map(
    (name) => `my-project/${name}`,
  );
  for (const name of names) await pushImage(owner, name, "lexical", "v1");
  const found: string[] = [];
  for (let path: string | undefined = "/v2/_catalog?n=1"; path !== undefined;) {
    const reply = await owner.send("GET", path);
    found.push(...(JSON.parse(reply.text) as { repositories: string[] }).repositories);
    path = /<([^>]+)>/.exec(reply.headers.get("link") ?? "")?.[1];
  }
  expect(found.filter((name) => name.startsWith("my-project/lex"))).toEqual(names.sort());
  expect(new Set(found).size).toBe(found.length);
});

test("distribution #4868: a blob that was missing a moment ago is there once it was put", async () => {
  for (let round = 0; round < 20; round++) {
    const content = contentOf(`put in round ${round}`);
    const path = `/v2/my-project/put/blobs/${content.digest}`;
    expectReply(await owner.send("HEAD", path), { status: 404 });
    await pushBlob(owner, "my-project/put", content);
    expectReply(await owner.send("HEAD", path), { status: 200, headers: { "content-length": String(content.size) } });
    expectReply(await owner.send("DELETE", path), { status: 202 });
    expectReply(await owner.send("HEAD", path), { status: 404 });
  }
});
