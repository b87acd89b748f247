/**
 * The schema, as the migrations that build it. A migration that was released is never edited: a change is a new one
 * at the end. Types are INTEGER (64 bit; times in ms since the epoch), TEXT and BLOB.
 */
export interface Migration {
  version: number;
  statements: readonly (string | { sqlite: string; postgres: string })[];
}

/** For data of before there was PostgreSQL. */
const inSqlite = (sqlite: string): { sqlite: string; postgres: string } => ({ sqlite, postgres: "" });
const inPostgres = (postgres: string): { sqlite: string; postgres: string } => ({ sqlite: "", postgres });

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

/** Identities, IAM, audit. */
const second: Migration = {
  version: 2,
  statements: [
    `CREATE TABLE organizations (
      id TEXT PRIMARY KEY, display_name TEXT NOT NULL, domain TEXT NOT NULL UNIQUE, created_at INTEGER NOT NULL)`,
    `ALTER TABLE projects ADD COLUMN organization_id TEXT REFERENCES organizations (id)`,
    `ALTER TABLE projects ADD COLUMN labels TEXT NOT NULL DEFAULT '{}'`,
    `ALTER TABLE projects ADD COLUMN updated_at INTEGER NOT NULL DEFAULT 0`,
    // Null while the project is active; it is purged 30 days later.
    `ALTER TABLE projects ADD COLUMN delete_requested_at INTEGER`,
    // When an id that another project had before was given anew: older credentials do not reach the new project.
    `ALTER TABLE projects ADD COLUMN credentials_since INTEGER NOT NULL DEFAULT 0`,
    `CREATE TABLE retired_projects (id TEXT PRIMARY KEY, purged_at INTEGER NOT NULL)`,
    `UPDATE projects SET updated_at = created_at`,

    // Services are enabled unless they stand here.
    `CREATE TABLE disabled_services (
      project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE, service TEXT NOT NULL,
      PRIMARY KEY (project_id, service)) WITHOUT ROWID`,

    `ALTER TABLE policies ADD COLUMN audit_configs TEXT NOT NULL DEFAULT '[]'`,
    // Which policies name a member: for what happens to them when the member is deleted or comes back.
    `CREATE TABLE policy_members (
      member TEXT NOT NULL, resource TEXT NOT NULL REFERENCES policies (resource) ON DELETE CASCADE,
      PRIMARY KEY (member, resource)) WITHOUT ROWID`,
    `CREATE INDEX policy_members_by_resource ON policy_members (resource)`,
    inSqlite(`INSERT INTO policy_members (member, resource)
      SELECT DISTINCT member.value, policies.resource
        FROM policies, json_each(policies.bindings) binding, json_each(binding.value, '$.members') member`),
    // `name` is \`projects/P/roles/R\` or \`organizations/O/roles/R\`.
    `CREATE TABLE custom_roles (
      name TEXT PRIMARY KEY, parent TEXT NOT NULL, title TEXT NOT NULL, description TEXT NOT NULL, stage TEXT NOT NULL,
      permissions TEXT NOT NULL, etag TEXT NOT NULL, deleted_at INTEGER, created_at INTEGER NOT NULL)`,
    `CREATE INDEX custom_roles_by_parent ON custom_roles (parent, name)`,

    // An address may be given anew while the deleted account that had it can still be brought back.
    `CREATE TABLE accounts (
      unique_id TEXT PRIMARY KEY, email TEXT NOT NULL, project_id TEXT NOT NULL REFERENCES projects (id),
      display_name TEXT NOT NULL, description TEXT NOT NULL DEFAULT '', disabled INTEGER NOT NULL DEFAULT 0,
      created_at INTEGER NOT NULL, deleted_at INTEGER)`,
    `INSERT INTO accounts (unique_id, email, project_id, display_name, disabled, created_at)
      SELECT unique_id, email, project_id, display_name, disabled, created_at FROM service_accounts`,
    // `private_jwk` is null but for the keys that sign on an account's behalf: those nobody else ever holds.
    `CREATE TABLE account_keys (
      id TEXT PRIMARY KEY, account_id TEXT NOT NULL REFERENCES accounts (unique_id) ON DELETE CASCADE,
      public_key TEXT NOT NULL, private_key TEXT, origin TEXT NOT NULL, disabled INTEGER NOT NULL DEFAULT 0,
      created_at INTEGER NOT NULL, expires_at INTEGER)`,
    `INSERT INTO account_keys (id, account_id, public_key, origin, disabled, created_at)
      SELECT k.id, a.unique_id, k.public_key, 'GOOGLE_PROVIDED', k.disabled, k.created_at
        FROM service_account_keys k JOIN service_accounts a ON a.email = k.email`,
    `DROP TABLE service_account_keys`,
    `DROP TABLE service_accounts`,
    `ALTER TABLE accounts RENAME TO service_accounts`,
    `ALTER TABLE account_keys RENAME TO service_account_keys`,
    `CREATE UNIQUE INDEX service_accounts_by_email ON service_accounts (email) WHERE deleted_at IS NULL`,
    `CREATE INDEX service_accounts_by_project ON service_accounts (project_id, email)`,
    `CREATE INDEX service_account_keys_by_account ON service_account_keys (account_id, created_at)`,

    // A local user has a password; one from a provider has the provider's issuer and its subject there.
    `CREATE TABLE people (
      unique_id TEXT PRIMARY KEY, email TEXT NOT NULL, display_name TEXT NOT NULL DEFAULT '', password_hash TEXT,
      issuer TEXT, subject TEXT, disabled INTEGER NOT NULL DEFAULT 0, created_at INTEGER NOT NULL,
      credentials_since INTEGER NOT NULL, deleted_at INTEGER)`,
    inSqlite(`INSERT INTO people (unique_id, email, password_hash, created_at, credentials_since)
      SELECT '1' || printf('%020d', abs(random()) % 100000000000000000), email, password_hash, created_at, created_at
        FROM users`),
    `DROP TABLE users`,
    `ALTER TABLE people RENAME TO users`,
    `CREATE UNIQUE INDEX users_by_email ON users (email) WHERE deleted_at IS NULL`,
    `CREATE UNIQUE INDEX users_by_subject ON users (issuer, subject) WHERE deleted_at IS NULL AND issuer IS NOT NULL`,
    `CREATE TABLE groups (
      unique_id TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE, display_name TEXT NOT NULL, description TEXT NOT NULL,
      created_at INTEGER NOT NULL)`,
    // \`source\` is \`local\`, or the issuer whose claims put the member there at the last sign-in.
    `CREATE TABLE group_members (
      group_id TEXT NOT NULL REFERENCES groups (unique_id) ON DELETE CASCADE, member TEXT NOT NULL,
      source TEXT NOT NULL, created_at INTEGER NOT NULL, PRIMARY KEY (group_id, member, source)) WITHOUT ROWID`,
    `CREATE INDEX group_members_by_member ON group_members (member)`,

    // Who holds the token, as an OAuth client got it; only a hash of the token is kept.
    `CREATE TABLE refresh_tokens (
      hash TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users (unique_id) ON DELETE CASCADE,
      client_id TEXT NOT NULL, scope TEXT NOT NULL, created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL)`,
    `CREATE INDEX refresh_tokens_by_user ON refresh_tokens (user_id)`,
    `CREATE INDEX refresh_tokens_by_end ON refresh_tokens (expires_at)`,
    `CREATE TABLE authorization_codes (
      hash TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users (unique_id) ON DELETE CASCADE,
      client_id TEXT NOT NULL, redirect_uri TEXT NOT NULL, code_challenge TEXT NOT NULL, scope TEXT NOT NULL,
      expires_at INTEGER NOT NULL)`,
    `CREATE TABLE revoked_tokens (id TEXT PRIMARY KEY, expires_at INTEGER NOT NULL)`,
    `CREATE INDEX revoked_tokens_by_end ON revoked_tokens (expires_at)`,

    `ALTER TABLE audit_log ADD COLUMN log TEXT NOT NULL DEFAULT 'activity'`,
    `ALTER TABLE audit_log ADD COLUMN project_id TEXT`,
    `ALTER TABLE audit_log ADD COLUMN service TEXT NOT NULL DEFAULT 'containerregistry.googleapis.com'`,
    `ALTER TABLE audit_log ADD COLUMN user_agent TEXT NOT NULL DEFAULT ''`,
    `ALTER TABLE audit_log ADD COLUMN key_id TEXT NOT NULL DEFAULT ''`,
    `ALTER TABLE audit_log ADD COLUMN delegation TEXT NOT NULL DEFAULT '[]'`,
    `ALTER TABLE audit_log ADD COLUMN "authorization" TEXT NOT NULL DEFAULT '[]'`,
    // Equal denials and reads are one entry.
    `ALTER TABLE audit_log ADD COLUMN count INTEGER NOT NULL DEFAULT 1`,
    `ALTER TABLE audit_log ADD COLUMN first_at INTEGER`,
    `CREATE INDEX audit_log_by_project ON audit_log (project_id, at)`,
    `CREATE INDEX audit_log_by_principal ON audit_log (principal, at)`,
  ],
};

/** Identities that others vouch for; buckets as trees; who has heard what of the outbox. */
const third: Migration = {
  version: 3,
  statements: [
    `CREATE TABLE workload_identity_pools (
      project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE, id TEXT NOT NULL,
      display_name TEXT NOT NULL, description TEXT NOT NULL, disabled INTEGER NOT NULL, created_at INTEGER NOT NULL,
      deleted_at INTEGER, PRIMARY KEY (project_id, id)) WITHOUT ROWID`,
    // What a token must be and what it says: audiences are a list, the mapping an object, in JSON.
    `CREATE TABLE workload_identity_providers (
      project_id TEXT NOT NULL, pool_id TEXT NOT NULL, id TEXT NOT NULL, display_name TEXT NOT NULL,
      description TEXT NOT NULL, disabled INTEGER NOT NULL, issuer TEXT NOT NULL, audiences TEXT NOT NULL, jwks TEXT,
      mapping TEXT NOT NULL, condition TEXT NOT NULL, created_at INTEGER NOT NULL, deleted_at INTEGER,
      PRIMARY KEY (project_id, pool_id, id),
      FOREIGN KEY (project_id, pool_id) REFERENCES workload_identity_pools (project_id, id) ON DELETE CASCADE)
      WITHOUT ROWID`,
    // In the order of the objects that a bucket shows: `a-b/…` comes before `a/…`.
    `CREATE INDEX repositories_by_path ON repositories (registry_id, (name || '/'))`,
    `CREATE INDEX outbox_by_registry ON outbox (registry_id, id)`,
    `CREATE TABLE outbox_cursors (name TEXT PRIMARY KEY, position INTEGER NOT NULL)`,
    // How far the topic gcr of a project has been told, and why no further.
    `CREATE TABLE gcr_topics (
      project_id TEXT PRIMARY KEY REFERENCES projects (id) ON DELETE CASCADE, position INTEGER NOT NULL,
      state TEXT NOT NULL, reason TEXT NOT NULL, changed_at INTEGER NOT NULL)`,
  ],
};

/** What was signed or signed in ends. */
const fourth: Migration = {
  version: 4,
  statements: [
    `UPDATE service_account_keys SET expires_at = created_at + 1209600000 WHERE origin = 'SYSTEM_MANAGED'`,
    // A code that was used stands until its end, with the refresh token that it was given for.
    `ALTER TABLE authorization_codes ADD COLUMN used INTEGER NOT NULL DEFAULT 0`,
    `ALTER TABLE authorization_codes ADD COLUMN refresh_hash TEXT`,
  ],
};

/** What both databases are asked in the same words; who does what where several servers share one. */
const fifth: Migration = {
  version: 5,
  statements: [
    // Nobody holds a lease without a holder; a holder moves `beat` as long as it lives.
    `CREATE TABLE leases (
      name TEXT PRIMARY KEY, holder TEXT NOT NULL, fence INTEGER NOT NULL, beat INTEGER NOT NULL)`,
    // The log is read in the order of (at, id); SQLite's indexes end in the id of themselves.
    ...["(at, id)", "(project_id, at, id)", "(principal, at, id)"].map((columns) =>
      inPostgres(`CREATE INDEX ON audit_log ${columns}`),
    ),
    ...["audit_log_by_time", "audit_log_by_project", "audit_log_by_principal"].map((name) =>
      inPostgres(`DROP INDEX ${name}`),
    ),
    // The rights of each audit entry, as rows.
    {
      sqlite: `CREATE VIEW audit_authorizations AS
        SELECT audit_log.id AS entry_id, json_extract(held.value, '$.resource') AS resource,
          json_extract(held.value, '$.permission') AS permission, json_extract(held.value, '$.granted') AS granted
        FROM audit_log, json_each(audit_log.authorization) AS held`,
      postgres: `CREATE VIEW audit_authorizations AS
        SELECT audit_log.id AS entry_id, held ->> 'resource' AS resource, held ->> 'permission' AS permission,
          CASE WHEN held ->> 'granted' = 'true' THEN 1 ELSE 0 END AS granted
        FROM audit_log CROSS JOIN LATERAL json_array_elements(audit_log."authorization"::json) AS held`,
    },
    inPostgres(`CREATE FUNCTION instr(whole text, part text) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
      AS 'SELECT strpos(whole, part)'`),
    // Of a path only what is needed here: `$.NAME`. Its text has no U+0000: see `wellFormed` of the audit log.
    inPostgres(`CREATE FUNCTION json_extract(document text, path text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
      AS 'SELECT document::json ->> substr(path, 3)'`),
  ],
};

export const migrations: readonly Migration[] = [first, second, third, fourth, fifth];
