import { closeSync, fsyncSync, linkSync, mkdirSync, openSync, renameSync, unlinkSync, writeSync } from "node:fs";
import { join } from "node:path";

/** A program that syncs some of what it writes into a directory, for the test of what a power cut leaves of it. */
const [directory] = process.argv.slice(2) as [string];

function append(name: string, text: string, sync: "synced" | "unsynced"): void {
  const file = openSync(join(directory, name), "a");
  writeSync(file, text);
  if (sync === "synced") fsyncSync(file);
  closeSync(file);
}

function syncDirectory(name: string): void {
  const opened = openSync(join(directory, name), "r");
  fsyncSync(opened);
  closeSync(opened);
}

mkdirSync(join(directory, "kept"));
append("kept/whole", "all of it", "synced");
append("kept/half", "the first half", "synced");
append("kept/empty", "never synced", "unsynced");
renameSync(join(directory, "kept/whole"), join(directory, "kept/renamed"));
linkSync(join(directory, "kept/renamed"), join(directory, "kept/linked"));
syncDirectory("kept");
syncDirectory(".");
append("kept/half", ", the second half", "unsynced");
append("kept/nameless", "a file whose name is not synced", "synced");
unlinkSync(join(directory, "kept/linked"));
mkdirSync(join(directory, "lost"));
append("lost/file", "in a directory whose name is not synced", "synced");
syncDirectory("lost");
