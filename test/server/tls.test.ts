import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { copyFileSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import { connect } from "node:tls";
import { type Berth, berthCommand, startBerth, until } from "../harness/berth.ts";
import { makeScratch, type Scratch } from "../harness/scratch.ts";
import { describeInstalled } from "../harness/suites.ts";
import { attempt, run } from "../harness/tools.ts";
import { launch } from "./launched.ts";

setDefaultTimeout(20_000);

let scratch: Scratch;
beforeAll(() => {
  scratch = makeScratch();
});
afterAll(() => scratch.remove());

describeInstalled(["curl"], "a certificate of its own", () => {
  const configured = ["registry.test", "images.example.test"];
  let data: string;
  let berth: Berth;
  beforeAll(async () => {
    data = scratch.directory("own");
    berth = await startBerth({ data, tls: true, config: `hosts: [registry.test, {name: images.example.test}]` });
  });
  afterAll(() => berth.stop());

  const curl = (name: string, ...args: string[]) => {
    const at = `${name}:${berth.port}`;
    const trust = ["--cacert", berth.ca, "--resolve", `${at}:127.0.0.1`, "--noproxy", "*"];
    const shown = ["-sS", "-o", "/dev/null", "-w", "%{http_code} HTTP/%{http_version}"];
    return attempt(["curl", ...trust, ...shown, ...args, `https://${at}/healthz`]);
  };

  test("covers every configured host, Container Registry's own and the local names, and no other", async () => {
    const own = ["gcr.io", "us.gcr.io", "eu.gcr.io", "asia.gcr.io", "mirror.gcr.io"];
    const names = [...configured, ...own, "localhost", "127.0.0.1"];
    const outcomes = await Promise.all(names.map(async (name) => [name, (await curl(name)).output]));
    expect(outcomes).toEqual(names.map((name) => [name, "200 HTTP/2"]));
    // 60: the certificate does not stand for that name.
    expect((await curl("other.test")).code).toBe(60);
  });

  test("is spoken over in HTTP/1.1 and HTTP/2, as the client offers in ALPN", async () => {
    const versions = await Promise.all(["--http1.1", "--http2", "--no-alpn"].map((how) => curl("registry.test", how)));
    expect(versions.map(({ stdout }) => stdout)).toEqual(["200 HTTP/1.1", "200 HTTP/2", "200 HTTP/1.1"]);
  });

  test("comes with keys that only the owner reads, and words on how to trust it", () => {
    expect(["ca.key", "tls.key"].map((name) => statSync(join(data, name)).mode & 0o777)).toEqual([0o600, 0o600]);
    expect(berth.output()).toContain(`install -D ${berth.ca} /etc/docker/certs.d/localhost:${berth.port}/ca.crt`);
  });

  test("is kept over a restart; another host gets another one from the same authority", async () => {
    const files = (): string[] => ["ca.crt", "tls.crt"].map((name) => readFileSync(join(data, name), "utf8"));
    const [authority, certificate] = files();
    expect(await berth.terminate()).toBe(0);
    berth = await startBerth({ data, tls: true, config: `hosts: [registry.test, images.example.test]` });
    expect(files()).toEqual([authority as string, certificate as string]);
    expect(await berth.terminate()).toBe(0);
    berth = await startBerth({ data, tls: true, config: `hosts: [registry.test, added.test]` });
    expect(files()[0]).toBe(authority as string);
    expect((await curl("added.test")).output).toBe("200 HTTP/2");
  });
});

describeInstalled(["openssl"], "a certificate from files", () => {
  /** Makes a certificate for localhost and its key. */
  const make = async (name: string): Promise<{ cert: string; key: string }> => {
    const directory = scratch.directory(name);
    const [cert, key] = [join(directory, "cert.pem"), join(directory, "key.pem")];
    const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-x509", "-days", "30"];
    const names = ["-subj", `/CN=${name}`, "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
    await run(["openssl", "req", ...kind, ...names, "-out", cert, "-keyout", key]);
    return { cert, key };
  };
  /** The name in the certificate that a new connection is shown. */
  const served = (port: number): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = connect({ host: "127.0.0.1", port, rejectUnauthorized: false }, () => {
        const { subject } = socket.getPeerCertificate();
        socket.destroy();
        resolve(String(subject.CN));
      });
      socket.on("error", reject);
    });
  const occurrences = (text: string, part: string): number => text.split(part).length - 1;

  test("is replaced while requests run, and none fails", async () => {
    const [older, newer] = [await make("older"), await make("newer")];
    const live = scratch.directory("live");
    const files = { cert: join(live, "cert.pem"), key: join(live, "key.pem") };
    copyFileSync(older.cert, files.cert);
    copyFileSync(older.key, files.key);
    const ca = [older.cert, newer.cert].map((path) => readFileSync(path, "utf8"));
    expect(ca.map((pem) => new X509Certificate(pem).subject)).toEqual(["CN=older", "CN=newer"]);
    const data = scratch.directory("files");
    const where = ["--data", data, "--listen", "127.0.0.1:0", "--tls-cert", files.cert, "--tls-key", files.key];
    const server = await launch([...berthCommand(), "serve", ...where]);
    const url = `https://127.0.0.1:${server.port}`;
    const load = { running: true };
    const failures: string[] = [];
    let answered = 0;
    const client = async (keepalive: boolean): Promise<void> => {
      while (load.running) {
        try {
          const reply = await fetch(`${url}/healthz`, { keepalive, tls: { ca } });
          if (reply.status !== 200 || (await reply.text()) !== "ok\n") failures.push(String(reply.status));
          answered++;
        } catch (error) {
          // Linux resets what waits in the queue of a listener that closes, unless it may move it to another one.
          if (!keepalive && String(error).includes("ECONNRESET")) continue;
          failures.push(`${keepalive ? "connection kept" : "new connection"}: ${String(error)}`);
        }
      }
    };
    try {
      const clients = [false, false, true, true].map(client);
      const key = readFileSync(join(data, "admin-key.json"), "utf8");
      const upload = await slowUpload(url, key, ca);
      await until(() => answered > 100 || undefined);
      expect(await served(server.port)).toBe("older");

      const whole = readFileSync(newer.cert, "utf8");
      writeFileSync(files.cert, whole.slice(0, whole.length / 2));
      await until(() => occurrences(server.output(), "certificate not reloaded") === 1 || undefined);
      expect(await served(server.port)).toBe("older");

      // The whole certificate, still with the key of the one before.
      writeFileSync(files.cert, whole);
      await until(() => occurrences(server.output(), "certificate not reloaded") === 2 || undefined);
      expect(await served(server.port)).toBe("older");
      expect(server.output()).not.toContain("certificate reloaded");

      copyFileSync(newer.key, files.key);
      await until(async () => (await served(server.port)) === "newer" || undefined);
      const before = answered;
      await until(() => answered > before + 100 || undefined);
      expect(await Promise.all(Array.from({ length: 20 }, () => served(server.port)))).toEqual(Array(20).fill("newer"));
      // What began under the old certificate ends under it.
      expect(await upload.finish()).toBe(202);
      load.running = false;
      await Promise.all(clients);
      expect(failures).toEqual([]);
    } finally {
      load.running = false;
      await server.stop();
    }
  }, 30_000);

  test("that is none, or not the key's, is refused at the start", async () => {
    const [one, other] = [await make("one"), await make("other")];
    const broken = join(scratch.directory("broken"), "cert.pem");
    writeFileSync(broken, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    for (const [cert, key] of [
      [one.cert, other.key],
      [broken, one.key],
      [join(scratch.path, "absent"), one.key],
    ] as const) {
      const where = ["--data", scratch.directory("refused"), "--listen", "127.0.0.1:0"];
      const command = [...berthCommand(), "serve", ...where, "--tls-cert", cert, "--tls-key", key];
      const { code, stdout, output } = await attempt(command, { limit: 10_000 });
      expect({ code, stdout, output }).toEqual({ code: 1, stdout: "", output: expect.stringContaining(cert) as never });
    }
  });
});

/** An upload of which the first half has been sent. */
async function slowUpload(url: string, key: string, ca: string[]): Promise<{ finish(): Promise<number> }> {
  const authorization = `Basic ${Buffer.from(`_json_key:${key}`).toString("base64")}`;
  const init = { method: "POST", headers: { authorization }, keepalive: false, tls: { ca } };
  const begun = await fetch(`${url}/v2/my-project/slow/blobs/uploads/`, init);
  const place = new URL(begun.headers.get("location") as string, url);
  const patch = request(place, { method: "PATCH", headers: { authorization }, ca, agent: false });
  const status = new Promise<number>((resolve, reject) => {
    patch.on("response", (reply) => resolve(reply.resume().statusCode as number));
    patch.on("error", reject);
  });
  // It may fail before anybody waits for it.
  status.catch(() => {});
  patch.write("x".repeat(100_000));
  return {
    finish() {
      patch.end("the end");
      return status;
    },
  };
}
