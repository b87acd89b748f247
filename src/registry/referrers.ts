import { repositoryId } from "../images/listing.ts";
import { listReferrers, type ReferrerDescriptor } from "../images/referrers.ts";
import { mediaTypes } from "../names/media-types.ts";
import { requireDigest } from "./blobs.ts";
import { apiVersion, nextLink, pageSize } from "./replies.ts";
import type { RepositoryCall } from "./router.ts";

const batch = 100;
const defaultPage = 1000;
/** Clients refuse an index above 4 MiB: a page ends before. */
const maxPageBytes = 3 * 1024 * 1024;

/** The manifests that name this one as their subject; an empty index where there are none, never 404. */
export async function getReferrers(call: RepositoryCall): Promise<Response> {
  const { repository, query } = call;
  const subject = requireDigest(call.reference);
  const artifactType = query.get("artifactType") ?? undefined;
  const size = pageSize(query) ?? defaultPage;
  const id = await repositoryId(repository);
  const filter = { subject, artifactType, last: query.get("last") ?? "" };
  const { manifests, more } = id === undefined ? { manifests: [], more: false } : await page(call, id, filter, size);
  const end = manifests.at(-1)?.digest;
  const next = { n: String(size), ...(artifactType === undefined ? {} : { artifactType }) };
  const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests };
  return Response.json(index, {
    headers: {
      ...apiVersion,
      "content-type": mediaTypes.ociIndex,
      ...(artifactType === undefined ? {} : { "oci-filters-applied": "artifactType" }),
      ...(more && end !== undefined ? nextLink(call.path, { ...next, last: end }) : {}),
    },
  });
}

/** What is said where nothing was ever pushed: the same. */
export function emptyReferrers(): Response {
  const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] };
  return Response.json(index, { headers: { ...apiVersion, "content-type": mediaTypes.ociIndex } });
}

type Filter = { subject: ReturnType<typeof requireDigest>; artifactType: string | undefined; last: string };

async function page({ repository }: RepositoryCall, inRepository: number, filter: Filter, size: number) {
  const manifests: ReferrerDescriptor[] = [];
  let bytes = 0;
  for (let last = filter.last; ;) {
    const found = await listReferrers(repository, { ...filter, repositoryId: inRepository, last, limit: batch });
    for (const descriptor of found) {
      bytes += JSON.stringify(descriptor).length;
      const full = manifests.length >= size || (bytes > maxPageBytes && manifests.length > 0);
      if (full) return { manifests, more: true };
      manifests.push(descriptor);
    }
    if (found.length < batch) return { manifests, more: false };
    last = (found.at(-1) as ReferrerDescriptor).digest;
  }
}
