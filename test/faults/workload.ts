import { digestOf, mediaTypes } from "../harness/image-layout.ts";
import type { Manifest, Progress, Pusher } from "../harness/pusher.ts";
import { Fact, type BlobEntry, type Ledger, type UploadEntry, upsert } from "./ledger.ts";
import { type Content, contentBytes, makeContent, type Random } from "./random.ts";

/** One client at work in a repository of its own, which writes down what was acknowledged and what is in doubt. */
export interface Client {
  pusher: Pusher;
  ledger: Ledger;
  random: Random;
  /** Another repository's blobs, which nobody deletes, to be mounted. */
  shared: Ledger;
  /** Bytes that the largest layer may have. */
  largest: number;
}

type Work = (client: Client) => Promise<void>;

/** What clients do, as often as it stands here. */
const works: readonly [Work, ...Work[]] = [
  pushImage,
  pushImage,
  pushImage,
  pushImage,
  pushIndex,
  moveTag,
  removeTag,
  removeManifest,
  pushThenRemoveBlob,
  leaveUpload,
  leaveUpload,
  resumeUpload,
  resumeUpload,
  cancelUpload,
];

/** Does one thing. Rejects where no reply came; the ledger says then what is in doubt. */
export async function work(client: Client): Promise<void> {
  await client.random.pick(works)(client);
}

/** Layers side by side, as docker does; then the config, then the manifest. */
async function pushImage(client: Client): Promise<void> {
  const { ledger, random, shared } = client;
  const layers: Content[] = [];
  const pushes: Promise<void>[] = [];
  for (let count = random.between(1, 4); count > 0; count--) {
    const known = random.pick([...ledger.presentBlobs(), ...shared.presentBlobs()]);
    const content =
      known !== undefined && random.chance(0.25)
        ? known.content
        : makeContent(random, Math.max(2, random.size(client.largest)));
    // Each push chooses by itself, so that a seed means the same whatever the network does.
    layers.push(content);
    pushes.push(pushBlob({ ...client, random: random.fork() }, content));
  }
  await all(pushes);
  const config = makeContent(random, random.between(100, 3000));
  await pushBlob(client, config);
  const describe = (mediaType: string, { digest, size }: Content): object => ({ mediaType, digest, size });
  const document = {
    config: describe("application/vnd.example.config", config),
    layers: layers.map((layer) => describe(mediaTypes.tar, layer)),
  };
  await putManifest(client, mediaTypes.image, document, [config, ...layers]);
}

async function pushIndex(client: Client): Promise<void> {
  const { ledger, random } = client;
  const manifests = ledger
    .presentManifests()
    .slice(-3)
    .map(([digest, { mediaType, size }]) => ({ mediaType, digest, size }));
  const annotations = { number: String(random.between(0, 2 ** 32 - 1)) };
  await putManifest(client, mediaTypes.index, { manifests, annotations }, []);
}

async function putManifest(client: Client, mediaType: string, document: object, blobs: Content[]): Promise<void> {
  const { ledger, pusher, random } = client;
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...document }));
  const manifest: Manifest = { bytes, mediaType };
  const digest = digestOf(bytes);
  const entry = upsert(ledger.manifests, digest, () => {
    return { mediaType, size: bytes.length, blobs: blobs.map((blob) => blob.digest), present: new Fact(false) };
  });
  const tags = random.chance(0.2) ? [someTag(random), `${someTag(random)}-too`] : [someTag(random)];
  const facts = tags.map((tag) => ledger.tag(tag));
  entry.present.doubt(true);
  for (const fact of facts) fact.doubt(digest);
  const [first] = tags as [string];
  await (tags.length === 1 ? pusher.putManifest(first, manifest) : pusher.putManifest(digest, manifest, tags));
  for (const fact of [entry.present, ...facts]) fact.settle();
}

/** Few names, so that pushes move tags. */
function someTag(random: Random): string {
  return `v${random.between(1, 12)}`;
}

/** A blob in one of the ways that clients have. */
async function pushBlob(client: Client, content: Content): Promise<void> {
  const { pusher, random, ledger, shared } = client;
  const { digest } = content;
  const entry = ledger.blob(content);
  const { present } = entry;
  if (shared.blobs.has(digest)) {
    await change(present, true, async () => {
      const instead = await pusher.mount(digest, shared.repository);
      if (instead !== undefined) throw new Error(`${digest} was not mounted`);
    });
    return;
  }
  const bytes = contentBytes(content);
  const way = random.between(0, 9);
  if (way === 0) await change(present, true, () => pusher.uploadWhole(digest, bytes));
  else if (way === 1) await close(client, await begin(client, entry), bytes);
  else {
    const upload = await begin(client, entry);
    if (way < 4) await sendChunks(client, upload, content.size);
    else await advance(upload, content.size, ({ location }) => pusher.stream(location, bytes));
    await close(client, upload);
  }
}

async function begin({ pusher, ledger }: Client, { content }: BlobEntry): Promise<UploadEntry> {
  const { location } = await pusher.start();
  const upload: UploadEntry = { location, content, size: new Fact<number | undefined>(0) };
  ledger.uploads.add(upload);
  return upload;
}

/** Sends a part of an upload; `size` bytes stand then. */
async function advance(
  upload: UploadEntry,
  size: number,
  send: (upload: UploadEntry) => Promise<Progress>,
): Promise<void> {
  upload.size.doubt(size);
  const progress = await send(upload);
  if (progress.size !== size && size > 1) throw new Error(`${size} bytes were sent, ${progress.size} stand`);
  upload.location = progress.location;
  upload.size.settle();
}

/** Goes on with an upload up to `end`, in chunks. Never leaves one at a single byte, which no reply can tell. */
async function sendChunks(client: Client, upload: UploadEntry, end: number): Promise<void> {
  const { pusher, random } = client;
  const bytes = contentBytes(upload.content);
  for (let size = upload.size.certain ?? 0; size < end;) {
    const next = Math.min(end, size + Math.max(2, random.between(Math.ceil(end / 8), end)));
    const part = bytes.subarray(size, next);
    const from = size;
    await advance(upload, next, ({ location }) =>
      random.chance(0.5) ? pusher.chunk(location, part, from) : pusher.stream(location, part),
    );
    size = next;
  }
}

async function close({ pusher, ledger }: Client, upload: UploadEntry, bytes?: Uint8Array): Promise<void> {
  const { present } = ledger.blob(upload.content);
  upload.size.doubt(undefined);
  await change(present, true, () => pusher.close(upload.location, upload.content.digest, bytes));
  upload.size.settle();
  ledger.uploads.delete(upload);
}

async function moveTag(client: Client): Promise<void> {
  const { ledger, pusher, random } = client;
  const chosen = random.pick(ledger.presentManifests());
  if (chosen === undefined) return;
  const [digest] = chosen;
  const manifest = await pusher.manifest(digest);
  if (manifest === undefined) throw new Error(`${digest} is gone`);
  const tag = someTag(random);
  await change(ledger.tag(tag), digest, () => pusher.putManifest(tag, manifest));
}

async function removeTag({ ledger, pusher, random }: Client): Promise<void> {
  const chosen = random.pick(ledger.presentTags());
  if (chosen === undefined) return;
  const [tag] = chosen;
  await change(ledger.tag(tag), undefined, () => pusher.removeManifest(tag));
}

/** With its tags, which go along. */
async function removeManifest({ ledger, pusher, random }: Client): Promise<void> {
  const chosen = random.pick(ledger.presentManifests());
  if (chosen === undefined) return;
  const [digest, { present }] = chosen;
  const tags = ledger.presentTags().filter(([, tagged]) => tagged === digest);
  const facts = tags.map(([tag]) => ledger.tag(tag));
  for (const fact of facts) fact.doubt(undefined);
  await change(present, false, () => pusher.removeManifest(digest));
  for (const fact of facts) fact.settle();
}

async function pushThenRemoveBlob(client: Client): Promise<void> {
  const { ledger, pusher, random } = client;
  const content = makeContent(random, random.between(2, 10_000));
  await pushBlob(client, content);
  await change(ledger.blob(content).present, false, () => pusher.removeBlob(content.digest));
}

/** Begins an upload and leaves it somewhere on its way. */
async function leaveUpload(client: Client): Promise<void> {
  const { ledger, random, largest } = client;
  if (ledger.uploads.size >= 4) return;
  const content = makeContent(random, Math.max(random.size(largest), 100));
  const upload = await begin(client, ledger.blob(content));
  const size = random.between(2, content.size - 2);
  await sendChunks(client, upload, size);
}

/** Takes up an upload that was left, or that a crash cut off. */
async function resumeUpload(client: Client): Promise<void> {
  const { ledger, random } = client;
  const upload = random.pick([...ledger.uploads]);
  if (upload !== undefined) await resume(client, upload);
}

/** Asks where an upload stands and goes on from there, to its end. */
export async function resume(client: Client, upload: UploadEntry): Promise<void> {
  const { pusher, random } = client;
  const progress = await pusher.status(upload.location);
  upload.size.observe(progress?.size, `the upload ${upload.location}`);
  if (progress === undefined) return;
  upload.location = progress.location;
  const bytes = contentBytes(upload.content);
  if (random.chance(0.3)) {
    await close(client, upload, bytes.subarray(progress.size));
  } else {
    await sendChunks(client, upload, upload.content.size);
    await close(client, upload);
  }
}

async function cancelUpload({ ledger, pusher, random }: Client): Promise<void> {
  const upload = random.pick([...ledger.uploads]);
  if (upload === undefined) return;
  await change(upload.size, undefined, () => pusher.cancel(upload.location));
  ledger.uploads.delete(upload);
}

async function change<T>(fact: Fact<T>, value: T, request: () => Promise<void>): Promise<void> {
  fact.doubt(value);
  await request();
  fact.settle();
}

/** Waits for all of them, also where one fails: what they write down must not come after. */
async function all(promises: Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(promises)).find(({ status }) => status === "rejected");
  if (failed?.status === "rejected") throw failed.reason;
}
