import { all } from "../metadata/statement.ts";
import type { Digest } from "../names/digest.ts";
import type { Repository } from "./repository.ts";

/** A referrer, as the index that lists it describes it. [OCI distribution-spec, "Listing Referrers"] */
export interface ReferrerDescriptor {
  mediaType: string;
  digest: string;
  size: number;
  artifactType?: string;
  annotations?: Record<string, string>;
}

interface ReferrerRow {
  digest: string;
  media_type: string;
  artifact_type: string | null;
  size: number;
  annotations: string | null;
}

const columns = "digest, media_type, artifact_type, size, annotations";

/** The manifests whose subject is `subject`, after the digest `last`, at most `limit`. */
export async function listReferrers(
  { database }: Repository,
  query: { repositoryId: number; subject: Digest; artifactType: string | undefined; last: string; limit: number },
): Promise<ReferrerDescriptor[]> {
  const { repositoryId, subject, artifactType, last, limit } = query;
  const filter = artifactType === undefined ? "" : "AND artifact_type = ?";
  const rows = await database.read(
    all<ReferrerRow>(
      `SELECT ${columns} FROM manifests WHERE repository_id = ? AND subject_digest = ? AND digest > ? ${filter}
       ORDER BY digest LIMIT ?`,
      repositoryId,
      subject,
      last,
      ...(artifactType === undefined ? [] : [artifactType]),
      limit,
    ),
  );
  return rows.map((row) => ({
    mediaType: row.media_type,
    digest: row.digest,
    size: row.size,
    ...(row.artifact_type === null ? {} : { artifactType: row.artifact_type }),
    ...(row.annotations === null ? {} : { annotations: JSON.parse(row.annotations) as Record<string, string> }),
  }));
}
