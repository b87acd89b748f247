import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Account, makeAccount } from "../harness/accounts.ts";
import { type Berth, startBerth } from "../harness/berth.ts";
import { bindingOf, bindOnBucket } from "../harness/bindings.ts";
import { mustCall } from "../harness/federation.ts";
import { makeMultiArchLayout } from "../harness/multi-arch-layout.ts";
import { hashFile, makeSampleImage, type SampleImage } from "../harness/sample-image.ts";
import { makeScratch } from "../harness/scratch.ts";
import type { Site } from "../harness/site.ts";
import { describeAsRoot } from "../harness/suites.ts";
import { run } from "../harness/tools.ts";
import { allClients } from "./drivers/all.ts";
import type { ClientSession } from "./drivers/client.ts";

// The roles that Container Registry's documentation gave for pushing and pulling, and conditions that limit them: what
// each client asks for beside what one would think of (a look before the push, layers, children by digest) is in them.

setDefaultTimeout(120_000);

const bucket = "artifacts.my-project.appspot.com";
const objects = `projects/_/buckets/${bucket}/objects/my-project`;

describe("with rights that are just enough", () => {
  const scratch = makeScratch();
  let berth: Berth;
  let sample: SampleImage;
  let accounts: Record<"pusher" | "limited" | "releases", Account>;

  beforeAll(async () => {
    berth = await startBerth();
    await mustCall(berth, "POST", "/storage/v1/b?project=my-project", { name: bucket });
    sample = await makeSampleImage(scratch);
    const multi = await makeMultiArchLayout(scratch);
    const [pusher, limited, releases] = await Promise.all([
      makeAccount(berth, "pusher"),
      makeAccount(berth, "limited"),
      makeAccount(berth, "releases"),
    ]);
    accounts = { pusher, limited, releases };
    const inOwn = `resource.name.startsWith("${objects}/limited/")`;
    await bindOnBucket(
      berth,
      bucket,
      bindingOf("roles/storage.legacyBucketWriter", pusher.email),
      bindingOf("roles/storage.legacyBucketWriter", limited.email, inOwn),
      bindingOf("roles/storage.objectViewer", releases.email, `resource.name.startsWith("${objects}/app:v")`),
    );
    const seed = async (layout: string, image: string): Promise<void> => {
      const login = ["--dest-tls-verify=false", `--dest-creds=_json_key:${berth.key}`];
      await run(
        ["skopeo", "copy", "--all", ...login, `oci:${layout}`, `docker://${berth.host}/my-project/app:${image}`],
        {
          env: scratch.env,
        },
      );
    };
    await seed(`${multi.path}:multi`, "v1");
    await seed(`${multi.path}:amd64`, "secret-1");
  });

  afterAll(async () => {
    await berth.stop();
    await scratch.remove();
  });

  const siteOf = ({ key }: Account): Site => ({ host: berth.host, key });

  for (const client of allClients) {
    describeAsRoot([...client.programs, "skopeo"], client.name, () => {
      let session: ClientSession;
      beforeAll(async () => {
        session = await client.open(scratch);
      });
      afterAll(() => session.close());

      const roundTrip = async (account: Account, image: string): Promise<void> => {
        const site = siteOf(account);
        await session.login(site);
        await session.push(site, sample, image);
        expect(await session.pull(site, image, (root) => hashFile(root, sample.file))).toBe(sample.fileHash);
      };

      test("legacyBucketWriter pushes, again, and pulls", async () => {
        const image = `${berth.host}/my-project/pushed-${client.name}:v1`;
        await roundTrip(accounts.pusher, image);
        await roundTrip(accounts.pusher, image);
      });

      test("limited to some repositories it pushes there, and nowhere else", async () => {
        await roundTrip(accounts.limited, `${berth.host}/my-project/limited/${client.name}:v1`);
        const elsewhere = `${berth.host}/my-project/elsewhere-${client.name}:v1`;
        await expect(session.push(siteOf(accounts.limited), sample, elsewhere)).rejects.toThrow(
          /denied|forbidden|403/i,
        );
      });

      test("a viewer of some tags pulls these, with all that they lead to, and no others", async () => {
        const site = siteOf(accounts.releases);
        await session.login(site);
        await session.pull(site, `${berth.host}/my-project/app:v1`, () => Promise.resolve());
        const other = session.pull(site, `${berth.host}/my-project/app:secret-1`, () => Promise.resolve());
        await expect(other).rejects.toThrow(/denied|forbidden|403/i);
      });
    });
  }
});
