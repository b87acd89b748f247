import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { lstatSync } from "node:fs";
import { join } from "node:path";
import { type Berth, startBerth } from "../harness/berth.ts";
import { debianPrograms, debianRoot } from "../harness/debian-root.ts";
import { digestOf, ImageLayout, mediaTypes } from "../harness/image-layout.ts";
import { makeScratch } from "../harness/scratch.ts";
import { type Site, siteOf } from "../harness/site.ts";
import { describeAsRoot } from "../harness/suites.ts";
import { attempt, run } from "../harness/tools.ts";
import { allClients } from "./drivers/all.ts";

setDefaultTimeout(300_000);

describeAsRoot([...debianPrograms, "skopeo"], "a real Debian root", () => {
  const scratch = makeScratch();
  let berth: Berth;
  let site: Site;
  const image = (): string => `${site.host}/my-project/debian/bookworm:latest`;

  beforeAll(async () => {
    berth = await startBerth();
    site = siteOf(berth);
    const compressed = await Bun.file(await debianRoot(scratch)).bytes();
    const layout = new ImageLayout(scratch.directory("layout"));
    const layer = layout.addBlob(compressed, mediaTypes.gzip);
    layout.tag(layout.addImage([layer], [digestOf(Bun.gunzipSync(compressed))]), "latest");
    const credentials = `--dest-creds=_json_key:${site.key}`;
    await run(["skopeo", "copy", "--dest-tls-verify=false", credentials, `oci:${layout.path}`, `docker://${image()}`]);
  });

  afterAll(async () => {
    await berth.stop();
    await scratch.remove();
  });

  for (const client of allClients) {
    describeAsRoot(client.programs, client.name, () => {
      test("pulls it whole", async () => {
        const session = await client.open(scratch);
        try {
          await session.login(site);
          await session.pull(site, image(), async (root) => {
            // Every file of every package against the sums that Debian ships; it prints what differs.
            expect(await attempt(["chroot", root, "dpkg", "--verify"])).toEqual({ code: 0, stdout: "", output: "" });
            expect(lstatSync(join(root, "usr/bin/su")).mode & 0o7777).toBe(0o4755);
            expect(lstatSync(join(root, "bin")).isSymbolicLink()).toBe(true);
          });
        } finally {
          await session.close();
        }
      });
    });
  }
});
