import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { type GetFilesResponse, Storage } from "@google-cloud/storage";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { makeAccount } from "../harness/accounts.ts";
import { type Berth, startBerth } from "../harness/berth.ts";
import { mustCall } from "../harness/federation.ts";
import { type Gcloud, openGcloud } from "../harness/gcloud.ts";
import { type Descriptor, digestOf } from "../harness/image-layout.ts";
import { pushBlob, pushManifest } from "../harness/registry.ts";
import { makeScratch } from "../harness/scratch.ts";
import { describeInstalled } from "../harness/suites.ts";

setDefaultTimeout(60_000);

const bucket = "artifacts.my-project.appspot.com";
const mediaType = "application/vnd.oci.image.manifest.v1+json";
const library = "containers/repositories/library";
const code = (error: { code: number }): number => error.code;
// More than the server keeps in memory: it comes from a file.
const layerBytes = Buffer.alloc(3 * 2 ** 20, "layer");

describeInstalled(["gcloud"], "what is in a registry's bucket", () => {
  const scratch = makeScratch();
  let berth: Berth;
  let layer: Descriptor;
  let manifest: Descriptor;
  let names: string[];

  beforeAll(async () => {
    berth = await startBerth();
    for (const repository of ["my-project/app", "my-project/team/web"]) {
      const config = await pushBlob(berth, repository, "{}", "application/vnd.oci.empty.v1+json");
      layer = await pushBlob(berth, repository, layerBytes, "application/octet-stream");
      manifest = await pushManifest(berth, repository, { mediaType, config, layers: [layer] }, "v1");
    }
    names = [
      ...[digestOf("{}"), layer.digest].sort().map((digest) => `containers/images/${digest}`),
      ...["app", "team/web"].flatMap((repository) => [
        `${library}/${repository}/manifest_${manifest.digest}`,
        `${library}/${repository}/tag_v1`,
      ]),
    ];
  });

  afterAll(async () => {
    await berth.stop();
    await scratch.remove();
  });

  const storage = (key = berth.key): Storage => {
    const made = new Storage({
      apiEndpoint: berth.url,
      useAuthWithCustomEndpoint: true,
      projectId: "my-project",
      credentials: JSON.parse(key) as object,
    });
    // The library asks Google alone for tokens; with this the key signs them itself.
    Object.assign(made.authClient, { useJWTAccessWithScope: true });
    return made;
  };

  test("@google-cloud/storage lists it, by pages and by directories", async () => {
    const ours = storage().bucket(bucket);
    const [files] = await ours.getFiles();
    expect(files.map(({ name }) => name)).toEqual(names);
    const paged: string[] = [];
    let query: object | null = { maxResults: 1, autoPaginate: false };
    while (query !== null) {
      const reply: GetFilesResponse = await ours.getFiles(query);
      paged.push(...reply[0].map(({ name }) => name));
      query = reply[1] as object | null;
    }
    expect(paged).toEqual(names);
    const [none, , reply] = await ours.getFiles({ prefix: `${library}/`, delimiter: "/", autoPaginate: false });
    expect(none).toEqual([]);
    expect((reply as { prefixes: string[] }).prefixes).toEqual([`${library}/app/`, `${library}/team/`]);
  });

  test("@google-cloud/storage reads layers, manifests and tags", async () => {
    const ours = storage().bucket(bucket);
    const [metadata] = await ours.file(`containers/images/${layer.digest}`).getMetadata();
    expect(metadata).toMatchObject({ size: String(layerBytes.length), contentType: "application/octet-stream" });
    const [bytes] = await ours.file(`containers/images/${layer.digest}`).download();
    expect(bytes.equals(layerBytes)).toBe(true);
    const [part] = await ours.file(`containers/images/${layer.digest}`).download({ start: 5, end: 14 });
    expect(part.toString()).toBe("layerlayer");
    const [tag] = await ours.file(`${library}/team/web/tag_v1`).download();
    expect(digestOf(tag)).toBe(manifest.digest);
    const missing = ours.file(`${library}/team/web/tag_v2`);
    expect(await missing.exists()).toEqual([false]);
    expect(await missing.download().catch(code)).toBe(404);
  });

  test("nothing is written or deleted that way", async () => {
    const ours = storage().bucket(bucket);
    const file = ours.file(`${library}/app/tag_v1`);
    const refused = await Promise.all([file.delete().catch(code), file.save("x", { resumable: false }).catch(code)]);
    expect(refused).toEqual([405, 404]);
    expect(await file.exists()).toEqual([true]);
  });

  test("who may read one repository reads its manifests and layers, and no other's", async () => {
    const robot = await makeAccount(berth, "robot");
    const path = `/storage/v1/b/${bucket}/iam`;
    const policy = await mustCall<{ bindings: object[] }>(berth, "GET", path);
    const condition = {
      title: "team",
      expression: `resource.name.startsWith("projects/_/buckets/${bucket}/objects/my-project/team/")`,
    };
    const members = [`serviceAccount:${robot.email}`];
    const binding = { role: "roles/storage.objectViewer", members, condition };
    await mustCall(berth, "PUT", path, { version: 3, bindings: [...policy.bindings, binding] });
    const theirs = storage(robot.key).bucket(bucket);
    const reads = (name: string): Promise<number> =>
      theirs
        .file(name)
        .download()
        .then(() => 200, code);
    expect(await reads(`${library}/team/web/tag_v1`)).toBe(200);
    expect(await reads(`containers/images/${layer.digest}`)).toBe(200);
    expect(await reads(`${library}/app/tag_v1`)).toBe(403);
    expect(await reads(`containers/images/sha256:${"0".repeat(64)}`)).toBe(403);
    expect(await theirs.getFiles().catch(code)).toBe(403);
  });

  test("gcloud storage lists and copies", async () => {
    const gcloud: Gcloud = await openGcloud(berth, scratch);
    const url = (name: string): string => `gs://${bucket}/${name}`;
    expect(await gcloud.text("storage", "ls", url(""))).toBe(url("containers/"));
    const all = (await gcloud.text("storage", "ls", url("**"))).split("\n");
    expect(all).toEqual(names.map(url));
    const directory = scratch.directory("copies");
    await gcloud.text("storage", "cp", url(`containers/images/${layer.digest}`), join(directory, "layer"));
    const copy = await Bun.file(join(directory, "layer")).bytes();
    expect(`sha256:${createHash("sha256").update(copy).digest("hex")}`).toBe(layer.digest);
    expect(digestOf(await gcloud.text("storage", "cat", url(`${library}/app/tag_v1`)))).toBe(manifest.digest);
  });
});
