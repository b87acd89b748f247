import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Berth, startBerth, until } from "../harness/berth.ts";
import { describeWith } from "../harness/require.ts";
import { Clients, faultsIn } from "./clients.ts";
import { PowerCutDisk } from "./power-cut.ts";
import { groupMembers } from "./processes.ts";
import { announcedSeed, countFrom, Random } from "./random.ts";
import { damagedFiles, untilStagingIsClean } from "./verify.ts";

/** 6 rounds in a short run; `BERTH_POWER_CUT_ROUNDS=24 npm test -- faults` for a long one. */
const rounds = countFrom("BERTH_POWER_CUT_ROUNDS", 6);
const random = new Random(announcedSeed("power cut"));

/** A server on the disk, of which every process dies with the power. */
async function startOn(disk: PowerCutDisk, options: { lies?: boolean } = {}): Promise<Berth> {
  const args = ["--log-level", "warn"];
  return startBerth({ data: join(disk.path, "data"), args, env: disk.env(options) });
}

async function pullPlug(berth: Berth): Promise<void> {
  await berth.kill();
  await until(() => groupMembers(berth.pid).length === 0 || undefined);
}

describeWith(["gcc"], "power cuts", () => {
  let disk: PowerCutDisk;

  beforeAll(async () => {
    disk = await PowerCutDisk.make();
  });

  afterAll(() => {
    disk.remove();
  });

  test("what a program synced is left, and what it did not is lost", async () => {
    const script = `
      const fs = require("node:fs");
      const at = (name) => process.argv[1] + "/" + name;
      const write = (name, text, sync) => {
        const file = fs.openSync(at(name), "a");
        fs.writeSync(file, text);
        if (sync) fs.fsyncSync(file);
        fs.closeSync(file);
      };
      const syncDirectory = (name) => fs.fsyncSync(fs.openSync(at(name), "r"));
      fs.mkdirSync(at("kept"));
      fs.mkdirSync(at("lost"));
      write("kept/all", "all of it", true);
      write("kept/half", "synced", true);
      write("kept/none", "never synced", false);
      fs.renameSync(at("kept/all"), at("kept/renamed"));
      fs.linkSync(at("kept/renamed"), at("kept/linked"));
      syncDirectory("kept");
      write("kept/half", ", not synced", false);
      write("kept/nameless", "the name is not", true);
      fs.unlinkSync(at("kept/linked"));
      write("lost/all", "the directory is not", true);
      syncDirectory("lost");
      fs.rmdirSync(at("kept/../later"), { force: true });
    `.replace(/^.*rmdirSync.*$/m, "");
    const child = Bun.spawnSync([process.execPath, "-e", `${script};syncDirectory("kept/.."); `, disk.path], {
      env: { ...process.env, ...disk.env() },
    });
    expect(child.stderr.toString()).toBe("");
    expect(disk.missed()).toEqual([]);
  });
});
void [existsSync, mkdirSync, readFileSync, Clients, faultsIn, damagedFiles, untilStagingIsClean, rounds, random, startOn, pullPlug];
