import { afterAll, afterEach, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { type Berth, startBerth } from "../harness/berth.ts";
import { makeScratch, type Scratch } from "../harness/scratch.ts";
import { describeInstalled } from "../harness/suites.ts";
import { attempt, run } from "../harness/tools.ts";
import { rawHead, rawExchange } from "../harness/raw-http.ts";
import { authorityOf, makeAuthority } from "./certificate-files.ts";
import { serve, type ServeProcess } from "./serve-process.ts";

setDefaultTimeout(30_000);

let scratch: Scratch;
beforeAll(() => {
  scratch = makeScratch();
});
afterAll(() => scratch.remove());

const inspect = (file: string, ...what: string[]): Promise<string> =>
  run(["openssl", "x509", "-noout", "-in", file, ...what]);

describeInstalled(["openssl", "curl"], "the authority in the data directory", () => {
  let berth: Berth;
  afterEach(() => berth.stop());

  test("signs a certificate that openssl takes for a server's, and that is no authority itself", async () => {
    berth = await startBerth({ tls: true, args: ["--public-name", "registry.corp.example:8443"] });
    const certificate = join(berth.data, "tls.crt");
    const verify = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", berth.ca];
    expect(await run([...verify, "-verify_hostname", "registry.corp.example", certificate])).toContain(": OK");
    expect((await attempt([...verify, "-verify_hostname", "corp.example", certificate])).code).not.toBe(0);
    const text = await inspect(certificate, "-text");
    expect(text).toContain("TLS Web Server Authentication");
    expect(text).not.toContain("CA:TRUE");
    const names = await inspect(certificate, "-ext", "subjectAltName");
    for (const name of ["registry.corp.example", "gcr.io", "mirror.gcr.io", "localhost", hostname()]) {
      expect(names).toMatch(new RegExp(`DNS:${name.replaceAll(".", "\\.")}(,|\\n)`));
    }
    for (const address of ["127.0.0.1", "0:0:0:0:0:0:0:1"]) expect(names).toContain(`IP Address:${address}`);
    // Browsers refuse certificates for more than 398 days.
    expect((await attempt(["openssl", "x509", "-in", certificate, "-checkend", String(398 * 86_400)])).code).toBe(1);
    expect((await attempt(["openssl", "x509", "-in", certificate, "-checkend", String(300 * 86_400)])).code).toBe(0);
    expect(await inspect(berth.ca, "-text")).toMatch(/CA:TRUE, pathlen:0[^]*Certificate Sign/);
    expect((await attempt(["openssl", "x509", "-in", berth.ca, "-checkend", String(3600 * 86_400)])).code).toBe(0);
  });

  test("signs a new one at a start where the old one ends soon", async () => {
    berth = await startBerth({ tls: true });
    const { data } = berth;
    await berth.terminate();
    const files = { cert: join(data, "tls.crt"), key: join(data, "tls.key") };
    const before = readFileSync(files.cert, "utf8");
    const names = (await inspect(files.cert, "-ext", "subjectAltName")).split("\n")[1]?.trim() ?? "";
    const authority = authorityOf(scratch, { cert: berth.ca, key: join(data, "ca.key") });
    for (const [days, isKept] of [
      [90, true],
      [30, false],
    ] as const) {
      const issued = await authority.issue("Berth", { days, names: names.replaceAll("IP Address:", "IP:") });
      copyFileSync(issued.cert, files.cert);
      copyFileSync(issued.key, files.key);
      berth = await startBerth({ tls: true, data });
      await berth.terminate();
      const after = readFileSync(files.cert, "utf8");
      expect({ days, isKept: after === readFileSync(issued.cert, "utf8") }).toEqual({ days, isKept });
    }
    expect(readFileSync(files.cert, "utf8")).not.toBe(before);
    berth = await startBerth({ tls: true });
  });

  test("plain HTTP on its port gets no answer, and disturbs nobody", async () => {
    berth = await startBerth({ tls: true });
    expect(await rawExchange(berth.port, rawHead("GET /healthz"))).toEqual([]);
    expect((await berth.fetch("/v2/")).status).toBe(200);
  });
});

describeInstalled(["openssl", "curl"], "a certificate from files", () => {
  let server: ServeProcess | undefined;
  afterEach(async () => {
    await server?.stop();
    server = undefined;
  });

  test("is sent with the chain that leads to it", async () => {
    const root = await makeAuthority(scratch);
    const between = await root.issue("between", { ca: true });
    const leaf = await authorityOf(scratch, between).issue("leaf");
    const chain = join(scratch.directory("chain"), "chain.pem");
    writeFileSync(chain, readFileSync(leaf.cert, "utf8") + readFileSync(between.cert, "utf8"));
    const data = scratch.directory("data");
    server = serve(["--data", data, "--listen", "127.0.0.1:0", "--tls-cert", chain, "--tls-key", leaf.key]);
    const { port, protocol } = await server.address();
    expect(protocol).toBe("https:");
    const args = ["-sS", "--noproxy", "*", "--resolve", `localhost:${port}:127.0.0.1`];
    const url = `https://localhost:${port}/healthz`;
    expect(await run(["curl", ...args, "--cacert", root.cert, url])).toBe("ok\n");
    const other = await makeAuthority(scratch, "another authority");
    expect((await attempt(["curl", ...args, "--cacert", other.cert, url])).code).toBe(60);
  });

  test("is not mixed with one that the server made", async () => {
    const { cert, key } = await makeAuthority(scratch);
    const data = scratch.directory("mixed");
    server = serve([
      "--data",
      data,
      "--listen",
      "127.0.0.1:0",
      "--tls",
      "self-signed",
      "--tls-cert",
      cert,
      "--tls-key",
      key,
    ]);
    expect(await server.exited).toBe(2);
    expect(server.output()).toContain("choose one");
  });
});

describeInstalled(["curl"], "IP version 6", () => {
  test("HTTPS and plain HTTP on ::1, named in brackets", async () => {
    for (const tls of ["self-signed", "off"]) {
      const data = scratch.directory("six");
      const server = serve(["--data", data, "--listen", "[::1]:0", "--tls", tls]);
      const url = await server.address();
      expect(url.hostname).toBe("[::1]");
      const trust = tls === "off" ? [] : ["--cacert", join(data, "ca.crt")];
      expect(await run(["curl", "-sS", "--noproxy", "*", ...trust, `${url.origin}/healthz`])).toBe("ok\n");
      const { token_uri: tokenUri } = JSON.parse(readFileSync(join(data, "admin-key.json"), "utf8")) as {
        token_uri: string;
      };
      expect(tokenUri).toBe(`${url.origin}/token`);
      expect(await server.stop()).toBe(0);
    }
  });
});
