import { join } from "node:path";
import { startDaemon } from "./daemon.ts";
import type { Scratch } from "./scratch.ts";
import { run } from "./tools.ts";

export interface NginxOptions {
  /** Port of the server behind it, on 127.0.0.1. */
  upstream: number;
  /** HTTPS towards clients. */
  tls?: boolean;
  /** More directives for the location. */
  directives?: string[];
}

/** An nginx of the test's own. */
export interface Nginx {
  /** `localhost:PORT` */
  host: string;
  /** Its certificate, which is its own authority; only with `tls`. */
  ca?: string;
  stop(): Promise<void>;
}

/** A reverse proxy as an nginx manual writes it, which tells the server behind it what the client asked. */
export async function startNginx(
  scratch: Scratch,
  { upstream, tls = false, directives = [] }: NginxOptions,
): Promise<Nginx> {
  const directory = scratch.directory("nginx");
  const port = freePort();
  const certificate = join(directory, "certificate.pem");
  const key = join(directory, "key.pem");
  if (tls) {
    const names = "subjectAltName=DNS:localhost,IP:127.0.0.1";
    const algorithm = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    const output = ["-keyout", key, "-out", certificate, "-days", "2"];
    await run(["openssl", "req", "-x509", ...algorithm, ...output, "-subj", "/CN=localhost", "-addext", names]);
  }
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (kind) => `${kind}_temp_path ${directory}/${kind};`,
  );
  await Bun.write(
    join(directory, "nginx.conf"),
    `${process.getuid?.() === 0 ? "user root;" : ""}
pid ${directory}/pid;
events {}
http {
  access_log off;
  ${temporary.join("\n  ")}
  server {
    listen 127.0.0.1:${port}${tls ? " ssl" : ""};
    ${tls ? `ssl_certificate ${certificate}; ssl_certificate_key ${key};` : ""}
    client_max_body_size 0;
    location / {
      proxy_pass http://127.0.0.1:${upstream};
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      ${directives.join("\n      ")}
    }
  }
}
`,
  );
  const host = `localhost:${port}`;
  const trust = tls ? { tls: { ca: Bun.file(certificate) } } : {};
  const ready = (): Promise<boolean> =>
    fetch(`${tls ? "https" : "http"}://${host}/healthz`, trust).then(
      (reply) => reply.ok,
      () => false,
    );
  const daemon = await startDaemon(
    ["nginx", "-e", "stderr", "-c", join(directory, "nginx.conf"), "-g", "daemon off;"],
    { ready },
  );
  return { host, stop: daemon.stop, ...(tls ? { ca: certificate } : {}) };
}

/** A port that nothing listens on at the moment. */
export function freePort(): number {
  const probe = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = probe;
  probe.stop(true);
  return port;
}
