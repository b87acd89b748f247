import { parseProjectId, type ProjectId } from "./reference.ts";

/**
 * The name of the storage bucket behind a registry, on which access is granted.
 *
 *     gcr.io       p               artifacts.p.appspot.com
 *     eu.gcr.io    p               eu.artifacts.p.appspot.com
 *     gcr.io       example.com:p   artifacts.p.example.com.a.appspot.com
 *     reg.corp     p               reg.corp.artifacts.p.appspot.com
 *
 * The first three are Container Registry's own; hosts that it did not have put their whole name in front.
 */
export function bucketName(host: string, project: ProjectId): string {
  const [domain, id] = project.includes(":") ? project.split(":") : [undefined, project];
  const base = domain === undefined ? `artifacts.${id}.appspot.com` : `artifacts.${id}.${domain}.a.appspot.com`;
  if (host === "gcr.io") return base;
  return `${host.endsWith(".gcr.io") ? host.slice(0, -".gcr.io".length) : host}.${base}`;
}

/** The host and project whose registry has this bucket; `undefined` for a name that no registry's bucket has. */
export function parseBucketName(bucket: string): { host: string; project: ProjectId } | undefined {
  const [, before = "", id, domain] =
    /^(?:(.+)\.)?artifacts\.([a-z0-9-]+)\.(?:(.+)\.a\.)?appspot\.com$/.exec(bucket) ?? [];
  const project = id === undefined ? undefined : parseProjectId(domain === undefined ? id : `${domain}:${id}`);
  if (project === undefined) return undefined;
  const hosts = before === "" ? ["gcr.io"] : [`${before}.gcr.io`, before];
  const host = hosts.find((each) => bucketName(each, project) === bucket);
  return host === undefined ? undefined : { host, project };
}
