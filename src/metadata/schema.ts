/**
 * The schema, as the migrations that build it. A migration that was released is never edited: a change is a new one
 * at the end. Types are INTEGER (64 bit; times in ms since the epoch), TEXT and BLOB.
 */
export interface Migration {
  version: number;
  statements: readonly string[];
}

const first: Migration = {
  version: 1,
  statements: [
    // Caches in every process hold what these numbers vouch for (see freshness.ts).
    `CREATE TABLE versions (name TEXT PRIMARY KEY, value INTEGER NOT NULL)`,
    `INSERT INTO versions (name, value) VALUES ('access', 1), ('identity', 1), ('projects', 1), ('keys', 1)`,

    `CREATE TABLE projects (
      id TEXT PRIMARY KEY, number TEXT NOT NULL UNIQUE, display_name TEXT NOT NULL, created_at INTEGER NOT NULL)`,
    `CREATE TABLE policies (resource TEXT PRIMARY KEY, etag TEXT NOT NULL, bindings TEXT NOT NULL)`,
    `CREATE TABLE registries (
      id INTEGER PRIMARY KEY, host TEXT NOT NULL, project_id TEXT NOT NULL REFERENCES projects (id),
      bucket TEXT NOT NULL UNIQUE, store TEXT NOT NULL, created_at INTEGER NOT NULL, UNIQUE (host, project_id))`,

    `CREATE TABLE service_accounts (
      email TEXT PRIMARY KEY, unique_id TEXT NOT NULL UNIQUE, project_id TEXT NOT NULL REFERENCES projects (id),
      display_name TEXT NOT NULL, disabled INTEGER NOT NULL DEFAULT 0, created_at INTEGER NOT NULL)`,
    `CREATE TABLE service_account_keys (
      id TEXT PRIMARY KEY, email TEXT NOT NULL REFERENCES service_accounts (email), public_key TEXT NOT NULL,
      disabled INTEGER NOT NULL DEFAULT 0, created_at INTEGER NOT NULL)`,
    `CREATE TABLE users (email TEXT PRIMARY KEY, password_hash TEXT NOT NULL, created_at INTEGER NOT NULL)`,
    `CREATE TABLE signing_keys (
      id TEXT PRIMARY KEY, private_jwk TEXT NOT NULL, public_jwk TEXT NOT NULL, created_at INTEGER NOT NULL)`,

    // A repository's name is its whole path below the host, project included.
    `CREATE TABLE repositories (
      id INTEGER PRIMARY KEY, registry_id INTEGER NOT NULL REFERENCES registries (id), name TEXT NOT NULL,
      created_at INTEGER NOT NULL, UNIQUE (registry_id, name))`,

    // One row per (store, digest); a storage key is never used a second time.
    `CREATE TABLE blobs (
      id INTEGER PRIMARY KEY, store TEXT NOT NULL, digest TEXT NOT NULL, size INTEGER NOT NULL,
      storage_key TEXT NOT NULL, created_at INTEGER NOT NULL, UNIQUE (store, digest))`,
    // What a repository may read. The registry stands here too, so that a mount without a source is one look-up.
    `CREATE TABLE blob_links (
      repository_id INTEGER NOT NULL REFERENCES repositories (id), blob_id INTEGER NOT NULL REFERENCES blobs (id),
      registry_id INTEGER NOT NULL REFERENCES registries (id), created_at INTEGER NOT NULL,
      PRIMARY KEY (repository_id, blob_id)) WITHOUT ROWID`,
    `CREATE INDEX blob_links_by_blob ON blob_links (blob_id, registry_id)`,

    `CREATE TABLE manifests (
      id INTEGER PRIMARY KEY, repository_id INTEGER NOT NULL REFERENCES repositories (id), digest TEXT NOT NULL,
      media_type TEXT NOT NULL, artifact_type TEXT, subject_digest TEXT, annotations TEXT, size INTEGER NOT NULL,
      image_size INTEGER NOT NULL, image_created_at INTEGER NOT NULL, platform TEXT, pushed_at INTEGER NOT NULL,
      UNIQUE (repository_id, digest))`,
    `CREATE INDEX manifests_by_subject ON manifests (repository_id, subject_digest, digest)
      WHERE subject_digest IS NOT NULL`,
    // Apart from the facts, so that a listing does not read through every manifest's bytes.
    `CREATE TABLE manifest_payloads (
      manifest_id INTEGER PRIMARY KEY REFERENCES manifests (id) ON DELETE CASCADE, payload BLOB NOT NULL)`,
    `CREATE TABLE manifest_blobs (
      manifest_id INTEGER NOT NULL REFERENCES manifests (id) ON DELETE CASCADE,
      repository_id INTEGER NOT NULL, blob_id INTEGER NOT NULL,
      PRIMARY KEY (manifest_id, blob_id),
      FOREIGN KEY (repository_id, blob_id) REFERENCES blob_links (repository_id, blob_id)) WITHOUT ROWID`,
    `CREATE INDEX manifest_blobs_by_link ON manifest_blobs (repository_id, blob_id)`,
    // The children of an index; child_id is null as long as the child is not in the repository.
    `CREATE TABLE manifest_children (
      parent_id INTEGER NOT NULL REFERENCES manifests (id) ON DELETE CASCADE, repository_id INTEGER NOT NULL,
      digest TEXT NOT NULL, child_id INTEGER REFERENCES manifests (id) ON DELETE SET NULL,
      PRIMARY KEY (parent_id, digest)) WITHOUT ROWID`,
    `CREATE INDEX manifest_children_by_digest ON manifest_children (repository_id, digest)`,
    `CREATE INDEX manifest_children_by_child ON manifest_children (child_id) WHERE child_id IS NOT NULL`,

    `CREATE TABLE tags (
      repository_id INTEGER NOT NULL REFERENCES repositories (id), name TEXT NOT NULL,
      manifest_id INTEGER NOT NULL REFERENCES manifests (id), created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
      PRIMARY KEY (repository_id, name)) WITHOUT ROWID`,
    `CREATE INDEX tags_by_manifest ON tags (manifest_id, name)`,
    // Who moved a tag from which digest to which: null where it did not exist before, or does not after.
    `CREATE TABLE tag_history (
      id INTEGER PRIMARY KEY, repository_id INTEGER NOT NULL REFERENCES repositories (id), tag TEXT NOT NULL,
      old_digest TEXT, new_digest TEXT, principal TEXT NOT NULL, at INTEGER NOT NULL)`,
    `CREATE INDEX tag_history_by_tag ON tag_history (repository_id, tag, id)`,

    // `size` bytes stand in the segments; `digest` is theirs while there is but one segment, else null.
    `CREATE TABLE uploads (
      id TEXT PRIMARY KEY, repository_id INTEGER NOT NULL REFERENCES repositories (id), principal TEXT NOT NULL,
      algorithm TEXT NOT NULL, epoch INTEGER NOT NULL, size INTEGER NOT NULL, digest TEXT, store TEXT NOT NULL,
      created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL)`,
    `CREATE INDEX uploads_by_principal ON uploads (principal)`,
    `CREATE INDEX uploads_by_age ON uploads (updated_at)`,
    `CREATE TABLE upload_segments (
      upload_id TEXT NOT NULL REFERENCES uploads (id) ON DELETE CASCADE, position INTEGER NOT NULL,
      staging_key TEXT NOT NULL, size INTEGER NOT NULL, PRIMARY KEY (upload_id, position)) WITHOUT ROWID`,

    `CREATE TABLE audit_log (
      id INTEGER PRIMARY KEY, at INTEGER NOT NULL, principal TEXT NOT NULL, method TEXT NOT NULL,
      resource TEXT NOT NULL, request_id TEXT NOT NULL, client_address TEXT NOT NULL, detail TEXT NOT NULL)`,
    `CREATE INDEX audit_log_by_time ON audit_log (at)`,
    // What followers (notifications, scanning, collection) read in the order of `id`.
    `CREATE TABLE outbox (
      id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, kind TEXT NOT NULL, registry_id INTEGER NOT NULL,
      payload TEXT NOT NULL)`,
  ],
};

export const migrations: readonly Migration[] = [first];
