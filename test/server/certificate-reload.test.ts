import { afterAll, afterEach, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { join } from "node:path";
import { connect } from "node:tls";
import { groupMembers } from "../faults/processes.ts";
import { type Berth, startBerth, until } from "../harness/berth.ts";
import { basic, callerOf } from "../harness/caller.ts";
import { contentOf, noise, pushBlob } from "../harness/content.ts";
import { makeScratch, type Scratch } from "../harness/scratch.ts";
import { describeInstalled } from "../harness/suites.ts";
import { authorityOf, type CertificateFiles } from "./certificate-files.ts";
import { beginDownload } from "./slow-download.ts";

setDefaultTimeout(30_000);

describeInstalled(["openssl"], "a certificate that is replaced", () => {
  let scratch: Scratch;
  let berth: Berth;
  beforeAll(() => {
    scratch = makeScratch();
  });
  afterAll(() => scratch.remove());
  afterEach(() => berth.stop());

  /** A certificate that the authority in the data directory vouches for. */
  const issue = (name: string): Promise<CertificateFiles> => {
    const files = { cert: berth.ca, key: join(berth.data, "ca.key") };
    return authorityOf(scratch, files).issue(name);
  };

  /** Puts a certificate in the place of the server's, as most programs do: one file after the other. */
  const install = ({ cert, key }: CertificateFiles): void => {
    copyFileSync(cert, join(berth.data, "tls.crt"));
    copyFileSync(key, join(berth.data, "tls.key"));
  };

  /** The name in the certificate that a new connection is shown. @throws Error unless the connection is trusted */
  const served = (): Promise<string> =>
    new Promise((resolve, reject) => {
      const trust = { servername: "localhost", ca: readFileSync(berth.ca) };
      const socket = connect({ host: "127.0.0.1", port: berth.port, ...trust }, () => {
        const { subject } = socket.getPeerCertificate();
        socket.destroy();
        if (socket.authorized) resolve(String(subject.CN));
        else reject(socket.authorizationError);
      });
      socket.on("error", reject);
    });
  const isServed = (name: string): Promise<true> =>
    until(
      async () => (await served().catch(forgiveReset)) === name || undefined,
      10_000,
      () => `${name} is not served:\n${berth.output().slice(-2000)}`,
    );

  test("is new to every worker; no connection fails that the kernel hands over", async () => {
    berth = await startBerth({ tls: true, args: ["--workers", "3"] });
    const names = new Set<string>();
    const resets: unknown[] = [];
    for (const name of ["first", "second"]) {
      install(await issue(name));
      await until(async () => {
        const outcomes = await Promise.allSettled(Array.from({ length: 10 }, served));
        for (const each of outcomes) {
          if (each.status === "fulfilled") names.add(each.value);
          else resets.push((each.reason as { code?: string }).code);
        }
        return outcomes.every((each) => each.status === "fulfilled" && each.value === name) || undefined;
      });
    }
    expect([...names].sort()).toEqual(["Berth", "first", "second"]);
    // Each worker once for each: the log comes a moment later.
    const reloads = (): number => berth.output().split("certificate reloaded").length - 1;
    await until(() => reloads() >= 2 * 3 || undefined);
    expect(reloads()).toBe(2 * 3);
    // Linux resets what waits in the queue of a listener that closes, unless it is told to move it to another one.
    const moved = readFileSync("/proc/sys/net/ipv4/tcp_migrate_req", "utf8").trim() === "1";
    expect(resets.filter((code) => moved || code !== "ECONNRESET")).toEqual([]);
  });

  test("a connection of HTTP/2 that is there finishes what it began, and asks for a new one", async () => {
    berth = await startBerth({ tls: true });
    const { digest } = await pushed(berth, 300_000);
    const headers = { authorization: basic(berth.key), ":path": `/v2/${repository}/blobs/${digest}` };
    const problems: string[] = [];
    let answered = 0;
    let sessions = 0;
    let running = true;
    const client = async (): Promise<void> => {
      while (running) {
        const session = connectHttp2(berth.url, { ca: readFileSync(berth.ca) });
        let isGoing = true;
        session.on("goaway", () => (isGoing = false));
        session.on("error", (error) => problems.push(`session: ${String(error)}`));
        sessions++;
        while (running && isGoing) {
          const got = await digestOver(session, headers).catch(String);
          if (got === digest) answered++;
          else if (isGoing) problems.push(got);
        }
        session.destroy();
      }
    };
    const clients = Array.from({ length: 4 }, client);
    await until(() => answered > 20 || undefined);
    expect(sessions).toBe(4);
    install(await issue("renewed"));
    await isServed("renewed");
    const before = answered;
    await until(() => answered > before + 20 || problems.length > 0 || undefined);
    running = false;
    await Promise.all(clients);
    expect(problems).toEqual([]);
    expect(sessions).toBeLessThanOrEqual(8);
  });

  test("a download that began under the old one is finished, also when the server is told to stop", async () => {
    berth = await startBerth({ tls: true });
    const blob = await pushed(berth, 48 * 2 ** 20);
    const download = await beginDownload(berth, repository, blob);
    install(await issue("renewed"));
    await isServed("renewed");
    const ended = berth.terminate();
    await until(() =>
      served().then(
        () => undefined,
        () => true,
      ),
    );
    expect(await download.finish()).toBe(blob.digest);
    expect(await ended).toBe(0);
    expect(groupMembers(berth.pid)).toEqual([]);
  });

  test("while its files are away the old one is served, and the one that comes back is new", async () => {
    berth = await startBerth({ tls: true });
    const next = await issue("next");
    for (const name of ["tls.crt", "tls.key"]) rmSync(join(berth.data, name));
    await until(() => berth.output().includes("certificate not reloaded") || undefined);
    expect(await served()).toBe("Berth");
    install(next);
    await isServed("next");
  });

  test("behind symbolic links that are turned over at once, as Kubernetes renews a secret", async () => {
    berth = await startBerth({ tls: true });
    const secret = scratch.directory("secret");
    const put = (version: string, { cert, key }: CertificateFiles): void => {
      mkdirSync(join(secret, version));
      copyFileSync(cert, join(secret, version, "tls.crt"));
      copyFileSync(key, join(secret, version, "tls.key"));
      symlinkSync(version, join(secret, "..new"));
      renameSync(join(secret, "..new"), join(secret, "..data"));
    };
    put("..1", await issue("first"));
    for (const name of ["tls.crt", "tls.key"]) {
      rmSync(join(berth.data, name));
      symlinkSync(join(secret, "..data", name), join(berth.data, name));
    }
    await isServed("first");
    put("..2", await issue("second"));
    await isServed("second");
  });
});

const repository = "my-project/certificates";

async function pushed(berth: Berth, size: number) {
  const blob = contentOf(noise("certificates", size));
  await pushBlob(callerOf(berth), repository, blob);
  return blob;
}

/** Linux resets what waits in the queue of a listener that closes, unless it is told to move it to another one. */
function forgiveReset(error: unknown): undefined {
  if ((error as { code?: string }).code !== "ECONNRESET") throw error;
}

/** The digest of what a request on this connection gets. */
function digestOver(session: ClientHttp2Session, headers: Record<string, string>): Promise<string> {
  return new Promise((resolve, reject) => {
    const hasher = new Bun.CryptoHasher("sha256");
    const stream = session.request(headers);
    stream.on("data", (chunk: Buffer) => hasher.update(chunk));
    stream.on("end", () => resolve(`sha256:${hasher.digest("hex")}`));
    stream.on("error", reject);
    stream.on("close", () => reject(new Error("closed")));
  });
}
