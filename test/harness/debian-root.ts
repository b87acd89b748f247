import { existsSync, mkdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import type { Scratch } from "./scratch.ts";
import { run, toolsDirectory } from "./tools.ts";

/** What `debianRoot` needs of the machine. */
export const debianPrograms = ["debootstrap", "tar"] as const;

/**
 * A minimal Debian 12 as a compressed tar file: a root file system as people have it, with devices, links, special
 * permissions and sums of all its files (`dpkg --verify`). Made by debootstrap as root, and kept beside the tools.
 */
export async function debianRoot(scratch: Scratch): Promise<string> {
  const file = join(toolsDirectory, "debian-bookworm.tar.gz");
  if (existsSync(file)) return file;
  const root = scratch.directory("debian");
  const mirror = process.env.BERTH_DEBIAN_MIRROR;
  const from = mirror === undefined ? [] : [mirror];
  await run(["debootstrap", "--variant=minbase", "bookworm", root, ...from], { limit: 300_000 });
  mkdirSync(toolsDirectory, { recursive: true });
  const unfinished = `${file}.${process.pid}`;
  const left = ["./var/cache/apt/archives/*.deb", "./var/lib/apt/lists/*_*", "./proc/*", "./sys/*"].map(
    (path) => `--exclude=${path}`,
  );
  await run(["tar", "-C", root, "--numeric-owner", "--sort=name", "-czf", unfinished, ...left, "."]);
  renameSync(unfinished, file);
  return file;
}
