import { BerthError } from "../http/berth-error.ts";
import { first, run, type Steps } from "../metadata/statement.ts";
import { appendEvent } from "../operations/outbox.ts";
import type { RepositoryInput } from "./repository.ts";

interface TagState {
  manifestId: number;
  digest: string;
}

export function* findTag(repositoryId: number, tag: string): Steps<TagState | undefined> {
  return yield* first<TagState>(
    `SELECT id AS manifestId, digest FROM manifests
     WHERE id = (SELECT manifest_id FROM tags WHERE repository_id = ? AND name = ?)`,
    repositoryId,
    tag,
  );
}

/** Points a tag at a manifest. @throws BerthError DENIED if it would be taken from another without the right to */
export function* moveTag(
  input: RepositoryInput & { movable: readonly string[] },
  repositoryId: number,
  tag: string,
  manifestId: number,
  digest: string,
): Steps<void> {
  const previous = yield* findTag(repositoryId, tag);
  if (previous?.manifestId === manifestId) return;
  if (previous !== undefined && !input.movable.includes(tag)) {
    throw new BerthError(
      "DENIED",
      `The tag "${tag}" names another manifest; moving it takes the permission 'storage.objects.delete'.`,
    );
  }
  yield* run(
    `INSERT INTO tags (repository_id, name, manifest_id, created_at, updated_at) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (repository_id, name) DO UPDATE SET manifest_id = excluded.manifest_id, updated_at = excluded.updated_at`,
    repositoryId,
    tag,
    manifestId,
    input.now,
    input.now,
  );
  yield* recordHistory(input, repositoryId, tag, previous?.digest ?? null, digest);
  const repository = `${input.host}/${input.name}`;
  const event = { kind: "tag.moved", repository, tag, digest, previous: previous?.digest ?? null } as const;
  yield* appendEvent(input.registryId, event, input.now);
}

export function* removeTag(input: RepositoryInput, repositoryId: number, tag: string, digest: string): Steps<void> {
  yield* run("DELETE FROM tags WHERE repository_id = ? AND name = ?", repositoryId, tag);
  yield* recordHistory(input, repositoryId, tag, digest, null);
  const repository = `${input.host}/${input.name}`;
  yield* appendEvent(input.registryId, { kind: "tag.deleted", repository, tag, digest }, input.now);
}

function* recordHistory(
  input: RepositoryInput,
  repositoryId: number,
  tag: string,
  oldDigest: string | null,
  newDigest: string | null,
): Steps<void> {
  yield* run(
    "INSERT INTO tag_history (repository_id, tag, old_digest, new_digest, principal, at) VALUES (?, ?, ?, ?, ?, ?)",
    repositoryId,
    tag,
    oldDigest,
    newDigest,
    input.actor.principal,
    input.now,
  );
}
