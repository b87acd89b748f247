import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Scratch } from "../../harness/scratch.ts";
import type { Site } from "../../harness/site.ts";
import { run } from "../../harness/tools.ts";

/** How podman, buildah and skopeo are told to trust a site. @param prefix of the flags: `src-`, `dest-` or none */
export function trustFlags(scratch: Scratch, site: Site, prefix = ""): string[] {
  if (site.ca === undefined) return [`--${prefix}tls-verify=false`];
  const directory = join(scratch.path, "certificates", site.host);
  mkdirSync(directory, { recursive: true });
  copyFileSync(site.ca, join(directory, "ca.crt"));
  return [`--${prefix}cert-dir=${directory}`, `--${prefix}tls-verify=true`];
}

/** How podman and buildah are told to keep images below the scratch directory. */
export function storageFlags(scratch: Scratch, name: string): string[] {
  const directory = join(scratch.path, name);
  return ["--root", join(directory, "root"), "--runroot", join(directory, "run")];
}

/** Unpacks a tar file, compressed or not. Answers the directory. */
export async function unpack(tarFile: string, directory: string): Promise<string> {
  await run(["tar", "-C", directory, "-xf", tarFile]);
  return directory;
}
