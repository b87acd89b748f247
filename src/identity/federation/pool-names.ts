import type { Member } from "../../names/members.ts";
import type { ProjectId } from "../../names/reference.ts";

/** A workload identity pool. */
export interface PoolName {
  project: ProjectId;
  /** The project's: names of pools go by it, and so never come to mean another project. */
  number: string;
  pool: string;
}

/** `projects/NUMBER/locations/global/workloadIdentityPools/POOL` */
export function poolPath({ number, pool }: Pick<PoolName, "number" | "pool">): string {
  return `projects/${number}/locations/global/workloadIdentityPools/${pool}`;
}

/** What stands behind a credential of a federated principal: there is no account but the pool. */
export function poolAccountId({ number, pool }: PoolName): string {
  return `pool:${number}/${pool}`;
}

/** @param accountId as `poolAccountId` makes it; `undefined` for another kind of account */
export function poolOfAccountId(accountId: string): { number: string; pool: string } | undefined {
  const match = /^pool:(\d+)\/(.+)$/.exec(accountId);
  return match === null ? undefined : { number: match[1] as string, pool: match[2] as string };
}

/** Who somebody of a pool is. [IAM, "Principal identifiers", workload identity pools] */
export function poolPrincipal(name: PoolName, subject: string): Member {
  return `principal://iam.googleapis.com/${poolPath(name)}/subject/${subject}`;
}

/** All of a pool, those of a group, those with an attribute of this value. */
export function poolSets(name: PoolName, groups: readonly string[], attributes: Readonly<Record<string, string>>) {
  const pool = `principalSet://iam.googleapis.com/${poolPath(name)}`;
  return [
    `${pool}/*`,
    ...groups.map((group) => `${pool}/group/${group}`),
    ...Object.entries(attributes).map(([attribute, value]) => `${pool}/attribute.${attribute}/${value}`),
  ] satisfies Member[];
}

const audience =
  /^(?:https:)?\/\/iam\.googleapis\.com\/projects\/([^/]+)\/locations\/global\/workloadIdentityPools\/([^/]+)\/providers\/([^/]+)$/;

/** The provider that an audience names: `//iam.googleapis.com/projects/P/…/workloadIdentityPools/POOL/providers/ID`. */
export function parseProviderAudience(text: string): { project: string; pool: string; provider: string } | undefined {
  const match = audience.exec(text);
  if (match === null) return undefined;
  return { project: match[1] as string, pool: match[2] as string, provider: match[3] as string };
}
