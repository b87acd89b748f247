import { BerthError } from "../http/berth-error.ts";
import { listManifests, listTags, repositoryId } from "../images/listing.ts";
import { nextLink, pageSize, streamJson } from "./replies.ts";
import type { RepositoryCall } from "./router.ts";
import { visibleChildren } from "./visible.ts";

/** Rows read from the database at a time: what a listing keeps in memory, however long it is. */
const manifestBatch = 50;
const tagBatch = 1000;

/**
 * `tags/list` as the specification has it and Container Registry extended it: without `n` everything in one streamed
 * reply (`child`, `manifest`, `tags`); with `n` a page of tags, the first of which still carries the whole map,
 * because ggcr takes a reply with a map as complete. [GCR tags/list; google/go-containerregistry]
 */
export async function listRepository(call: RepositoryCall): Promise<Response> {
  const { repository, query } = call;
  if (query.get("check_usage_only") === "true") return Response.json({ usage: "ACTIVE" });
  const size = pageSize(query);
  const last = query.get("last") ?? "";
  const [id, child] = await Promise.all([repositoryId(repository), visibleChildren(call)]);
  if (id === undefined && child.length === 0 && !call.isRoot) {
    throw new BerthError("NAME_UNKNOWN", `The repository "${repository.name}" is not known.`);
  }
  if (size === undefined) return streamJson(whole(call, id, child, last), {});
  const found = id === undefined || size === 0 ? [] : await listTags(repository, id, last, size + 1);
  const page = found.slice(0, size);
  const end = page.at(-1);
  const link = found.length > size && end !== undefined ? nextLink(call.path, { n: String(size), last: end }) : {};
  if (last !== "" || size === 0) return streamJson(pageOnly(repository.name, page), link);
  return streamJson(firstPage(call, id, child, page), link);
}

async function* whole(
  call: RepositoryCall,
  id: number | undefined,
  child: string[],
  last: string,
): AsyncGenerator<string> {
  const { name } = call.repository;
  if (last !== "") yield `{"name":${JSON.stringify(name)},"tags":[`;
  else yield* head(call, id, child);
  yield* joined(allTags(call, id, last));
  yield "]}";
}

async function* firstPage(
  call: RepositoryCall,
  id: number | undefined,
  child: string[],
  page: string[],
): AsyncGenerator<string> {
  yield* head(call, id, child);
  yield* joined(page);
  yield "]}";
}

// eslint-disable-next-line @typescript-eslint/require-await -- the other replies are streams of the same kind
async function* pageOnly(name: string, page: string[]): AsyncGenerator<string> {
  yield JSON.stringify({ name, tags: page });
}

/** Everything up to the list of tags. */
async function* head(call: RepositoryCall, id: number | undefined, child: string[]): AsyncGenerator<string> {
  yield `{"child":${JSON.stringify(child)},"manifest":{`;
  yield* manifestMap(call, id);
  yield `},"name":${JSON.stringify(call.repository.name)},"tags":[`;
}

/** Numbers are strings: ggcr fails on others. An index has size and creation time "0". */
async function* manifestMap({ repository }: RepositoryCall, id: number | undefined): AsyncGenerator<string> {
  if (id === undefined) return;
  let separator = "";
  for (let last = ""; ;) {
    const manifests = await listManifests(repository, id, last, manifestBatch);
    for (const { digest, mediaType, imageSize, imageCreatedAt, pushedAt, tags } of manifests) {
      const entry = {
        imageSizeBytes: String(imageSize),
        layerId: "",
        mediaType,
        tag: tags,
        timeCreatedMs: String(imageCreatedAt),
        timeUploadedMs: String(pushedAt),
      };
      yield `${separator}${JSON.stringify(digest)}:${JSON.stringify(entry)}`;
      separator = ",";
      last = digest;
    }
    if (manifests.length < manifestBatch) return;
    // Others' requests get their turn between two batches.
    await new Promise(setImmediate);
  }
}

async function* allTags({ repository }: RepositoryCall, id: number | undefined, after: string): AsyncGenerator<string> {
  if (id === undefined) return;
  for (let last = after; ;) {
    const tags = await listTags(repository, id, last, tagBatch);
    yield* tags;
    const end = tags.at(-1);
    if (end === undefined || tags.length < tagBatch) return;
    last = end;
    await new Promise(setImmediate);
  }
}

async function* joined(tags: AsyncIterable<string> | Iterable<string>): AsyncGenerator<string> {
  let separator = "";
  for await (const tag of tags) {
    yield separator + JSON.stringify(tag);
    separator = ",";
  }
}
