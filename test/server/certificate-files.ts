import { join } from "node:path";
import type { Scratch } from "../harness/scratch.ts";
import { run } from "../harness/tools.ts";

export interface CertificateFiles {
  cert: string;
  key: string;
}

/** An authority of the test's own. */
export interface TestAuthority extends CertificateFiles {
  /** A certificate for localhost, or for `names` as openssl writes them, with the given common name. */
  issue(name: string, options?: { ca?: boolean; days?: number; names?: string }): Promise<CertificateFiles>;
}

const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/** Needs openssl. */
export async function makeAuthority(scratch: Scratch, name = "test authority"): Promise<TestAuthority> {
  const files = filesIn(scratch.directory("authority"));
  await run(["openssl", "req", "-x509", ...curve, "-days", "30", "-subj", `/CN=${name}`, ...out(files)]);
  return authorityOf(scratch, files);
}

/** Who signs with these files. */
export function authorityOf(scratch: Scratch, files: CertificateFiles): TestAuthority {
  return {
    ...files,
    async issue(name, { ca = false, days = 30, names = "DNS:localhost,IP:127.0.0.1" } = {}) {
      const made = filesIn(scratch.directory("certificate"));
      const kind = ca ? "basicConstraints=critical,CA:TRUE" : `subjectAltName=${names}`;
      const signed = ["-CA", files.cert, "-CAkey", files.key, "-days", String(days)];
      await run([
        "openssl",
        "req",
        "-x509",
        ...curve,
        ...signed,
        "-subj",
        `/CN=${name}`,
        "-addext",
        kind,
        ...out(made),
      ]);
      return made;
    },
  };
}

function filesIn(directory: string): CertificateFiles {
  return { cert: join(directory, "cert.pem"), key: join(directory, "key.pem") };
}

function out({ cert, key }: CertificateFiles): string[] {
  return ["-out", cert, "-keyout", key];
}
