import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { JournalRecord } from "./journal.ts";
import type { Random } from "./random.ts";

type Change = { offset: number; data: Buffer } | { size: number };
type Entry = DiskFile | DiskDirectory;
/** Names that a directory got or, where there is no entry, lost; those of one change are kept or lost together. */
type EntryChange = readonly (readonly [name: string, entry: Entry | undefined])[];

/** Bytes that grow. */
class Bytes {
  #bytes: Buffer;
  size: number;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.size = bytes.length;
  }

  apply(change: Change): void {
    const end = "size" in change ? change.size : Math.max(this.size, change.offset + change.data.length);
    if (end > this.#bytes.length) {
      const grown = Buffer.alloc(Math.max(end, this.#bytes.length * 2));
      this.#bytes.copy(grown, 0, 0, this.size);
      this.#bytes = grown;
    }
    if (end < this.size) this.#bytes.fill(0, end, this.size);
    if ("data" in change) change.data.copy(this.#bytes, change.offset);
    this.size = end;
  }

  copy(): Bytes {
    return new Bytes(Buffer.from(this.content()));
  }

  content(): Buffer {
    return this.#bytes.subarray(0, this.size);
  }
}

/** A file: what was synced, and what came after it. */
class DiskFile {
  #origin: string | undefined;
  #synced: Bytes | undefined;
  #pending: Change[] = [];
  /** Changed through memory, which nobody sees: it has to be of no worth. */
  mapped = false;

  /** @param origin file with what was synced before the journal began */
  constructor(origin?: string) {
    this.#origin = origin;
  }

  change(change: Change): void {
    this.#pending.push(change);
  }

  sync(): void {
    const synced = this.#load();
    for (const change of this.#pending) synced.apply(change);
    this.#pending = [];
  }

  /** What programs see as long as the power is on. */
  live(): Buffer {
    const bytes = this.#load().copy();
    for (const change of this.#pending) bytes.apply(change);
    return bytes.content();
  }

  /** What is left: all that was synced and, with `chance`, some of the rest in some state. */
  left(chance: Random | undefined): Buffer {
    const bytes = this.#load().copy();
    const { size } = bytes;
    if (chance !== undefined) for (const change of this.#pending) damage(bytes, change, size, chance);
    return bytes.content();
  }

  #load(): Bytes {
    this.#synced ??= new Bytes(this.#origin === undefined ? Buffer.alloc(0) : readFileSync(this.#origin));
    return this.#synced;
  }
}

const sector = 512;

/** Writes that nobody synced: there, not there, there up to some sector, or their place taken but never filled. */
function damage(bytes: Bytes, change: Change, synced: number, chance: Random): void {
  const fate = chance.pick(["kept", "lost", "torn", "unfilled"]);
  if (fate === "lost") return;
  if (fate === "kept" || "size" in change) {
    bytes.apply(change);
    return;
  }
  const { offset, data } = change;
  const boundary = Math.min(data.length, chance.between(0, Math.ceil(data.length / sector)) * sector);
  if (fate === "torn") {
    bytes.apply({ offset, data: data.subarray(0, boundary) });
    return;
  }
  // A disk keeps the old sectors or the new ones; what was never there may turn out to be anything.
  const first = Math.max(offset, synced);
  if (first >= offset + data.length) return;
  const anything = Buffer.alloc(offset + data.length - first, chance.pick([0, 0xff, 0x5a]));
  bytes.apply({ offset: first, data: anything });
}

/** A directory: the names that were synced, and what came after them. */
class DiskDirectory {
  #synced = new Map<string, Entry>();
  #pending: EntryChange[] = [];
  readonly live = new Map<string, Entry>();

  change(change: EntryChange): void {
    this.#pending.push(change);
    apply(this.live, change);
  }

  sync(): void {
    this.#synced = new Map(this.live);
    this.#pending = [];
  }

  left(chance: Random | undefined): Map<string, Entry> {
    const names = new Map(this.#synced);
    if (chance !== undefined) for (const change of this.#pending) if (chance.chance(0.5)) apply(names, change);
    return names;
  }
}

function apply(names: Map<string, Entry>, change: EntryChange): void {
  for (const [name, entry] of change) {
    if (entry === undefined) names.delete(name);
    else names.set(name, entry);
  }
}

/** A directory as a disk keeps it, which forgets in a power cut what nobody synced. */
export class Disk {
  readonly #path: string;
  readonly #root = new DiskDirectory();
  readonly #files = new Map<number, DiskFile>();

  /**
   * @param path the directory that programs will change
   * @param origin a copy of it that nobody changes; all that is in it counts as synced
   */
  constructor(path: string, origin: string) {
    this.#path = path;
    this.#adopt(this.#root, path, origin);
  }

  /** @throws Error on a record of something that the journal cannot tell enough of */
  replay(records: Iterable<JournalRecord>): void {
    for (const record of records) this.#replay(record);
  }

  /** Where the tree that programs see differs from `path`, that is, what the journal has missed. */
  missed(): string[] {
    return [...differences(this.#root, this.#path)];
  }

  /** Writes into an empty directory what a power cut leaves. @param chance for what was not synced; without, it is lost */
  cut(target: string, chance: Random | undefined): void {
    const write = (directory: DiskDirectory, path: string): void => {
      for (const [name, entry] of directory.left(chance)) {
        const below = join(path, name);
        if (entry instanceof DiskFile) writeFileSync(below, entry.left(chance), { mode: 0o600 });
        else {
          mkdirSync(below, { mode: 0o700 });
          write(entry, below);
        }
      }
    };
    write(this.#root, target);
  }

  #adopt(directory: DiskDirectory, path: string, origin: string): void {
    for (const entry of readdirSync(origin, { withFileTypes: true })) {
      const live = join(path, entry.name);
      const kept = join(origin, entry.name);
      const node = entry.isDirectory() ? new DiskDirectory() : new DiskFile(kept);
      if (node instanceof DiskDirectory) this.#adopt(node, live, kept);
      else this.#files.set(statSync(live).ino, node);
      directory.change([[entry.name, node]]);
    }
    directory.sync();
  }

  #replay({ operation, first, second, inode, offset, data }: JournalRecord): void {
    switch (operation) {
      case "create": {
        const file = new DiskFile();
        this.#files.set(inode, file);
        this.#directory(dirname(first)).change([[basename(first), file]]);
        return;
      }
      case "mkdir":
        this.#directory(dirname(first)).change([[basename(first), new DiskDirectory()]]);
        return;
      case "link":
        this.#directory(dirname(second)).change([[basename(second), this.#entry(first)]]);
        return;
      case "rename": {
        const entry = this.#entry(first);
        const [from, to] = [this.#directory(dirname(first)), this.#directory(dirname(second))];
        const [gone, come] = [[basename(first), undefined] as const, [basename(second), entry] as const];
        // Between two directories either may be synced without the other.
        if (from === to) from.change([gone, come]);
        else {
          from.change([gone]);
          to.change([come]);
        }
        return;
      }
      case "unlink":
      case "rmdir":
        this.#directory(dirname(first)).change([[basename(first), undefined]]);
        return;
      case "write":
        this.#file(inode).change({ offset, data });
        return;
      case "truncate":
        this.#file(inode).change({ size: offset });
        return;
      case "sync-file":
        this.#file(inode).sync();
        return;
      case "sync-directory":
        this.#directory(first).sync();
        return;
      case "map":
        this.#file(inode).mapped = true;
        return;
      case "unseen":
        throw new Error(`the journal does not follow ${first} ${second}`);
    }
  }

  #file(inode: number): DiskFile {
    const file = this.#files.get(inode);
    if (file === undefined) throw new Error(`a change of inode ${inode}, which nobody made`);
    return file;
  }

  #entry(path: string): Entry {
    const entry = path === this.#path ? this.#root : this.#directory(dirname(path)).live.get(basename(path));
    if (entry === undefined) throw new Error(`a change of ${path}, which nobody made`);
    return entry;
  }

  #directory(path: string): DiskDirectory {
    const entry = path === this.#path ? this.#root : this.#entry(path);
    if (!(entry instanceof DiskDirectory)) throw new Error(`${path} is no directory`);
    return entry;
  }
}

function* differences(directory: DiskDirectory, path: string): Generator<string> {
  const found = new Set(readdirSync(path));
  for (const name of found)
    if (!directory.live.has(name)) yield `${join(path, name)} was made behind the journal's back`;
  for (const [name, entry] of directory.live) {
    const below = join(path, name);
    if (!found.has(name)) yield `${below} was removed behind the journal's back`;
    else if (entry instanceof DiskDirectory) yield* differences(entry, below);
    else if (!entry.mapped && !entry.live().equals(readFileSync(below)))
      yield `${below} was changed behind the journal's back`;
  }
}
