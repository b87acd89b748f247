import { recordChange } from "../access/audit/audit-log.ts";
import { BerthError } from "../http/berth-error.ts";
import { command } from "../metadata/database.ts";
import { all, first, run, type Steps } from "../metadata/statement.ts";
import { appendEvent } from "../operations/outbox.ts";
import { findRepositoryId, ofRepository, type Repository, type RepositoryInput } from "./repository.ts";
import { findTag, removeTag } from "./tags.ts";

type DeleteTagInput = RepositoryInput & { tag: string };

/** Removes a tag; the manifest it named stays. */
export const deleteTag = command(
  "images.deleteTag",
  function* (input: DeleteTagInput) {
    const repositoryId = yield* findRepositoryId(input.registryId, input.name);
    const state = repositoryId === undefined ? undefined : yield* findTag(repositoryId, input.tag);
    if (repositoryId === undefined || state === undefined) throw unknown(input.tag);
    yield* removeTag(input, repositoryId, input.tag, state.digest);
    yield* recordChange(input.actor, input.resource, { tag: input.tag, change: "deleted" }, input.now);
  },
  ofRepository,
);

type DeleteManifestInput = RepositoryInput & {
  digest: string;
  /** Whether a manifest that is tagged, or that a list holds, is kept. */
  protectReferenced: boolean;
  /** The tags that the caller may take away with it; others keep it. */
  removable: "all" | readonly string[];
};

/** Removes a manifest; its tags go with it, and lists that hold it become sparse, unless that is refused. */
export const deleteManifest = command(
  "images.deleteManifest",
  function* (input: DeleteManifestInput) {
    const repositoryId = yield* findRepositoryId(input.registryId, input.name);
    const manifest = repositoryId === undefined ? undefined : yield* findManifest(repositoryId, input.digest);
    if (repositoryId === undefined || manifest === undefined) throw unknown(input.digest);
    if (input.protectReferenced) yield* refuseReferenced(manifest.id, input.digest);
    const tags = yield* tagsOf(manifest.id);
    for (const tag of tags) {
      if (input.removable !== "all" && !input.removable.includes(tag)) {
        throw new BerthError("DENIED", `The tag "${tag}" names the manifest, and you may not delete it.`);
      }
      yield* removeTag(input, repositoryId, tag, input.digest);
    }
    yield* run("DELETE FROM manifests WHERE id = ?", manifest.id);
    yield* recordChange(input.actor, input.resource, { manifest: input.digest, change: "deleted" }, input.now);
    const repository = `${input.host}/${input.name}`;
    yield* appendEvent(input.registryId, { kind: "manifest.deleted", repository, digest: input.digest }, input.now);
  },
  ofRepository,
);

function* tagsOf(manifestId: number): Steps<string[]> {
  const rows = yield* all<{ name: string }>("SELECT name FROM tags WHERE manifest_id = ? ORDER BY name", manifestId);
  return rows.map(({ name }) => name);
}

/** The tags of a manifest, by its digest. */
export async function tagsOfDigest({ database, registry, name }: Repository, digest: string): Promise<string[]> {
  return database.read(
    (function* () {
      const repositoryId = yield* findRepositoryId(registry.id, name);
      const manifest = repositoryId === undefined ? undefined : yield* findManifest(repositoryId, digest);
      return manifest === undefined ? [] : yield* tagsOf(manifest.id);
    })(),
  );
}

function* findManifest(repositoryId: number, digest: string): Steps<{ id: number } | undefined> {
  return yield* first<{ id: number }>(
    "SELECT id FROM manifests WHERE repository_id = ? AND digest = ?",
    repositoryId,
    digest,
  );
}

/** In Container Registry's words; clients take the parent from the last word. [genuinetools/reg#136; gcr-cleaner#130] */
function* refuseReferenced(manifestId: number, digest: string): Steps<void> {
  const tag = yield* first<{ name: string }>(
    "SELECT name FROM tags WHERE manifest_id = ? ORDER BY name LIMIT 1",
    manifestId,
  );
  if (tag !== undefined) {
    throw new BerthError("GOOGLE_MANIFEST_DANGLING_TAG", `Manifest is still referenced by tag: ${tag.name}`);
  }
  const parent = yield* first<{ digest: string }>(
    `SELECT m.digest FROM manifest_children c JOIN manifests m ON m.id = c.parent_id
     WHERE c.child_id = ? ORDER BY m.digest LIMIT 1`,
    manifestId,
  );
  if (parent !== undefined) {
    throw new BerthError(
      "GOOGLE_MANIFEST_DANGLING_PARENT_IMAGE",
      `Manifest ${digest} is referenced by image ${parent.digest}`,
    );
  }
}

function unknown(reference: string): BerthError {
  return new BerthError("MANIFEST_UNKNOWN", `Failed to compute blob liveness for manifest: '${reference}'`);
}
