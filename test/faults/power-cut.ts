import { cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../harness/tools.ts";
import { Disk } from "./disk.ts";
import { readJournals } from "./journal.ts";
import type { Random } from "./random.ts";

/** A directory that loses in a power cut what was not synced. Programs must be started with `env`. */
export class PowerCutDisk {
  readonly #scratch: string;
  #round = 0;
  /** Records of the journal that the disk has had. */
  #replayed = 0;
  #disk: Disk;
  /** Where the disk is mounted, so to say; another place after each cut. */
  path: string;

  private constructor(scratch: string, directories: readonly string[]) {
    this.#scratch = scratch;
    mkdirSync(join(scratch, "origin-0"));
    for (const name of directories) mkdirSync(join(scratch, "origin-0", name));
    [this.path, this.#disk] = this.#mount();
  }

  /** A disk with some empty directories; compiles the program that watches it. */
  static async make(...directories: string[]): Promise<PowerCutDisk> {
    const scratch = realpathSync(mkdtempSync(join(tmpdir(), "berth-cut-")));
    const source = join(import.meta.dir, "power-cut.c");
    await run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", `${scratch}/watch.so`, source]);
    return new PowerCutDisk(scratch, directories);
  }

  /** @param lies whether syncs are to sync nothing */
  env({ lies = false } = {}): Record<string, string> {
    return {
      LD_PRELOAD: join(this.#scratch, "watch.so"),
      POWER_CUT_ROOT: this.path,
      POWER_CUT_JOURNAL: this.#journal,
      ...(lies ? { POWER_CUT_LIES: "1" } : {}),
    };
  }

  /**
   * Where the journal's account of the directory differs from the directory itself. To be asked while nobody is
   * changing it: nothing may have been changed in a way that the journal does not see.
   */
  missed(): string[] {
    this.#replay();
    return this.#disk.missed();
  }

  /**
   * Turns the power off and on: `path` is then what was left. All programs that were using the disk must be dead.
   * @param chance decides what is left of what was not synced; without, nothing is
   */
  cut(chance?: Random): void {
    this.#replay();
    const before = [this.path, this.#journal, this.#origin];
    this.#round++;
    mkdirSync(this.#origin);
    this.#disk.cut(this.#origin, chance);
    for (const path of before) rmSync(path, { recursive: true });
    [this.path, this.#disk] = this.#mount();
  }

  #replay(): void {
    const records = readJournals(this.#journal).slice(this.#replayed);
    this.#disk.replay(records);
    this.#replayed += records.length;
  }

  remove(): void {
    rmSync(this.#scratch, { recursive: true, force: true });
  }

  /** Takes what is in the origin for all that there is on the disk. */
  #mount(): [string, Disk] {
    const path = join(this.#scratch, `disk-${this.#round}`);
    mkdirSync(this.#journal);
    this.#replayed = 0;
    cpSync(this.#origin, path, { recursive: true });
    return [path, new Disk(path, this.#origin)];
  }

  get #origin(): string {
    return join(this.#scratch, `origin-${this.#round}`);
  }

  get #journal(): string {
    return join(this.#scratch, `journal-${this.#round}`);
  }
}
