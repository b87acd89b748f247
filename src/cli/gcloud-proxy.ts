import { mkdirSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { readFileSync } from "node:fs";
import { parseListen } from "../server/listen-address.ts";
import { type CliCommand, UsageError } from "./command.ts";
import { googleNames, startTunnel } from "./connect-tunnel.ts";
import { readFlags } from "./flags.ts";
import { gcloudSettings, printSettings } from "./gcloud-env.ts";

const flagNames = ["--server", "--ca", "--listen", "--dir", "--project"];

export const gcloudProxy: CliCommand = {
  name: "gcloud-proxy",
  summary: "lead Google's host names to a server, for an unmodified gcloud and gsutil",
  help: () =>
    "berth gcloud-proxy [--server URL] [--ca FILE] [--listen ADDR:PORT] [--dir DIR] [--project ID]\n\n" +
    "Runs a proxy on this machine through which gcr.io, *.gcr.io, *.googleapis.com and *.pkg.dev are the server at\n" +
    "--server (http://localhost:5000), so that commands with the true names work: gcloud container images list-tags\n" +
    "gcr.io/my-project/app. It needs no rights: it makes a certificate authority of its own in --dir\n" +
    "(~/.config/berth/gcloud-proxy), and prints the variables that a shell needs to use it. --listen is\n" +
    "127.0.0.1:3128; --ca is the certificate authority of the server, where it uses one of its own.\n",
  async run(args) {
    const flags = readFlags("gcloud-proxy", flagNames, args);
    const server = new URL(flags.get("--server") ?? "http://localhost:5000");
    const directory = flags.get("--dir") ?? join(homedir(), ".config/berth/gcloud-proxy");
    const { hostname, port } = parseListen(flags.get("--listen") ?? "127.0.0.1:3128");
    if (!/^127\.|^localhost$|^::1$/.test(hostname)) {
      throw new UsageError("--listen: the proxy is for this machine alone: give an address of the loopback");
    }
    if (server.protocol === "http:" && !/^(?:localhost|127\..*|\[::1\])$/.test(server.hostname)) {
      console.error(
        `berth gcloud-proxy: ${server.origin} is reached without TLS: tokens are readable on the way there`,
      );
    }
    const files = await makeCertificate(directory);
    const ca = flags.get("--ca");
    const inner = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      idleTimeout: 255,
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      tls: { cert: readFileSync(files.certificate, "utf8"), key: readFileSync(files.certificateKey, "utf8") },
      fetch: (request) => forward(request, server, ca === undefined ? undefined : readFileSync(ca, "utf8")),
      error: (error) => new Response(`berth gcloud-proxy: ${error.message}\n`, { status: 502 }),
    });
    await startTunnel(hostname, port, inner.port as number);
    const settings = gcloudSettings({ project: flags.get("--project"), ca: files.caCertificate });
    printSettings([
      ...settings,
      // Else it would ask the address in the key file, by a way that this proxy does not have.
      ["CLOUDSDK_AUTH_TOKEN_HOST", "https://oauth2.googleapis.com/token"],
      ["CLOUDSDK_PROXY_TYPE", "http"],
      ["CLOUDSDK_PROXY_ADDRESS", hostname],
      ["CLOUDSDK_PROXY_PORT", String(port)],
    ]);
    console.error(`berth gcloud-proxy: ${hostname}:${port} leads to ${server.origin}; stop it with Ctrl-C`);
    return new Promise(() => {});
  },
};

async function makeCertificate(directory: string) {
  const files = {
    caCertificate: join(directory, "ca.crt"),
    caKey: join(directory, "ca.key"),
    certificate: join(directory, "tls.crt"),
    certificateKey: join(directory, "tls.key"),
  };
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  await import("reflect-metadata");
  const { selfSignedCertificate } = await import("../server/certificates.ts");
  await selfSignedCertificate(files, googleNames);
  return files;
}

/** Sends a request on to the server under the name that the client asked for. */
async function forward(request: Request, server: URL, ca: string | undefined): Promise<Response> {
  const { pathname, search, host } = new URL(request.url);
  const headers = new Headers(request.headers);
  headers.set("host", request.headers.get("host") ?? host);
  const target = `${server.origin}${pathname}${search}`;
  const init = {
    method: request.method,
    headers,
    body: request.body,
    redirect: "manual",
    decompress: false,
    proxy: false,
    ...(server.protocol === "https:" && { tls: { serverName: server.hostname, ...(ca !== undefined && { ca }) } }),
  } as RequestInit;
  const reply = await fetch(target, init);
  const answered = new Headers(reply.headers);
  // A server without TLS speaks of itself as http, where the client knows https.
  for (const name of ["www-authenticate", "location"]) {
    const value = answered.get(name);
    if (value !== null)
      answered.set(name, value.replace(`http://${headers.get("host")}`, `https://${headers.get("host")}`));
  }
  return new Response(reply.body, { status: reply.status, headers: answered });
}
