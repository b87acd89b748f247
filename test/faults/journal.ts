import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** What power-cut.c journals, in its order. */
const operations = [
  "create",
  "mkdir",
  "link",
  "rename",
  "unlink",
  "rmdir",
  "write",
  "truncate",
  "sync-file",
  "sync-directory",
  "map",
  "unseen",
] as const;

export interface JournalRecord {
  sequence: number;
  operation: (typeof operations)[number];
  first: string;
  second: string;
  inode: number;
  /** Where a write begins, or the size that a truncation leaves. */
  offset: number;
  data: Buffer;
}

const magic = 0x54554350;
const headerSize = 48;

/** The journals of all processes as one, in the order in which things happened. */
export function readJournals(directory: string): JournalRecord[] {
  const records: JournalRecord[] = [];
  for (const name of readdirSync(directory)) {
    if (name.startsWith("journal.")) records.push(...readJournal(readFileSync(join(directory, name)), name));
  }
  return records.sort((a, b) => a.sequence - b.sequence);
}

function* readJournal(bytes: Buffer, name: string): Generator<JournalRecord> {
  for (let at = 0; at + headerSize <= bytes.length;) {
    if (bytes.readUInt32LE(at) !== magic) throw new Error(`${name} is damaged at byte ${at}`);
    const length = bytes.readUInt32LE(at + 4);
    // The last record of a process that was killed while it wrote it.
    if (at + length > bytes.length) return;
    const operation = operations[bytes.readUInt32LE(at + 16) - 1];
    if (operation === undefined) throw new Error(`${name} has an unknown operation at byte ${at}`);
    const first = at + headerSize;
    const second = first + bytes.readUInt32LE(at + 20);
    const data = second + bytes.readUInt32LE(at + 24);
    yield {
      sequence: Number(bytes.readBigUInt64LE(at + 8)),
      operation,
      first: bytes.toString("utf8", first, second),
      second: bytes.toString("utf8", second, data),
      inode: Number(bytes.readBigUInt64LE(at + 32)),
      offset: Number(bytes.readBigUInt64LE(at + 40)),
      data: bytes.subarray(data, at + length),
    };
    at += length;
  }
}
