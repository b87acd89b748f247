import { afterAll, beforeAll, expect, test } from "bun:test";
import { type Account, makeAccount } from "../harness/accounts.ts";
import { type Berth, startBerth } from "../harness/berth.ts";
import { bindingOf, bindOnBucket } from "../harness/bindings.ts";
import { basic } from "../harness/caller.ts";
import { pushBlob, pushManifest } from "../harness/registry.ts";

// A condition that leaves a repository out leaves it out of every listing.

const bucket = "artifacts.my-project.appspot.com";
const objects = `projects/_/buckets/${bucket}/objects/my-project`;
const mediaType = "application/vnd.oci.image.manifest.v1+json";
let berth: Berth;
let reader: Account;
let shared: string;

async function push(repository: string, secret: string): Promise<void> {
  const config = await pushBlob(berth, repository, "{}", "application/octet-stream");
  const layer = await pushBlob(berth, repository, secret, "application/octet-stream");
  shared = config.digest;
  await pushManifest(berth, repository, { mediaType, config, layers: [layer] }, "v1");
}

beforeAll(async () => {
  berth = await startBerth();
  for (const name of ["app", "app/open", "secret", "secret/deep", "team/secret/x", "team/web"]) {
    await push(`my-project/${name}`, `layer of ${name}`);
  }
  reader = await makeAccount(berth, "reader");
  const expression = `!resource.name.startsWith("${objects}/secret") && !resource.name.startsWith("${objects}/team/secret")`;
  await bindOnBucket(berth, bucket, bindingOf("roles/storage.objectViewer", reader.email, expression));
});
afterAll(() => berth.stop());

const get = async <T>(path: string): Promise<T> => {
  const reply = await fetch(berth.url + path, { headers: { authorization: basic(reader.key) } });
  expect([path, reply.status]).toEqual([path, 200]);
  return (await reply.json()) as T;
};

test("the catalog", async () => {
  const { repositories } = await get<{ repositories: string[] }>("/v2/_catalog");
  expect(repositories).toEqual(["my-project/app", "my-project/app/open", "my-project/team/web"]);
});

test("the directories of tags/list, at each level", async () => {
  const children = async (path: string): Promise<string[]> =>
    (await get<{ child: string[] }>(`/v2/my-project${path}/tags/list`)).child;
  expect(await children("")).toEqual(["app", "team"]);
  expect(await children("/app")).toEqual(["open"]);
  expect(await children("/team")).toEqual(["web"]);
});

test("the objects of the bucket, layers among them", async () => {
  const names = async (query: string): Promise<string[]> => {
    const { items = [], prefixes = [] } = await get<{ items?: { name: string }[]; prefixes?: string[] }>(
      `/storage/v1/b/${bucket}/o${query}`,
    );
    return [...prefixes, ...items.map(({ name }) => name)];
  };
  const all = await names("");
  expect(all.filter((name) => name.includes("secret"))).toEqual([]);
  expect(all.filter((name) => name.endsWith("/tag_v1")).length).toBe(3);
  // A config that all of them have, and a layer of each of the three.
  expect(all.filter((name) => name.startsWith("containers/images/")).length).toBe(4);
  expect(all).toContain(`containers/images/${shared}`);
  const library = "containers/repositories/library/";
  expect(await names(`?prefix=${library}&delimiter=/`)).toEqual([`${library}app/`, `${library}team/`]);
  expect(await names(`?prefix=${library}team/&delimiter=/`)).toEqual([`${library}team/web/`]);
});

test("for others they are there", async () => {
  const reply = await berth.fetch("/v2/my-project/tags/list");
  expect(((await reply.json()) as { child: string[] }).child).toEqual(["app", "secret", "team"]);
});

test("a layer that hundreds of images share is read with the one tag that is allowed", async () => {
  const repository = "my-project/based";
  const config = await pushBlob(berth, repository, "{}", "application/octet-stream");
  const base = await pushBlob(berth, repository, "the base", "application/octet-stream");
  for (let i = 0; i < 130; i++) {
    const annotations = { number: String(i) };
    await pushManifest(berth, repository, { mediaType, config, layers: [base], annotations }, `v${i}`);
  }
  const picky = await makeAccount(berth, "picky");
  const expression = `resource.name == "${objects}/based:v129"`;
  await bindOnBucket(berth, bucket, bindingOf("roles/storage.objectViewer", picky.email, expression));
  const status = async (path: string): Promise<number> =>
    (await fetch(`${berth.url}/v2/${repository}/${path}`, { headers: { authorization: basic(picky.key) } })).status;
  const layer = `blobs/${base.digest}`;
  expect([await status("manifests/v129"), await status(layer), await status("manifests/v128")]).toEqual([
    200, 200, 403,
  ]);
});
