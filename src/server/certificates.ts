import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { isIP } from "node:net";
import { hostname } from "node:os";
import * as x509 from "@peculiar/x509";

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const day = 24 * 3600 * 1000;
const authorityDays = 3650;
/** What browsers and Apple's systems accept at most is 398. */
const certificateDays = 397;
/** A certificate with less than this left is made anew at the start. */
const renewBefore = 60 * day;

/** Where an authority and its certificate stand. */
interface CertificateFiles {
  caCertificate: string;
  caKey: string;
  certificate: string;
  certificateKey: string;
}

/** The certificate authority in these files, made where it is missing, and a certificate of its for all of `hosts`. */
export async function selfSignedCertificate(directory: CertificateFiles, hosts: readonly string[]): Promise<void> {
  const authority = await openAuthority(directory);
  const names = [...new Set([...hosts, "localhost", hostname(), "127.0.0.1", "::1"])].filter((name) => name !== "");
  if (isCurrent(directory, names, authority.certificate)) return;
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: "CN=Berth",
    issuer: authority.certificate.subject,
    notBefore: new Date(Date.now() - day),
    notAfter: new Date(Date.now() + certificateDays * day),
    publicKey: keys.publicKey,
    signingKey: authority.key,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.SubjectAlternativeNameExtension(
        names.map((value) => ({ type: isIP(value) === 0 ? "dns" : "ip", value }) as const),
      ),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      await x509.AuthorityKeyIdentifierExtension.create(authority.certificate.publicKey),
    ],
  });
  writeFileSync(directory.certificateKey, await keyText(keys.privateKey), { mode: 0o600 });
  writeFileSync(directory.certificate, certificate.toString("pem"));
}

interface Authority {
  certificate: x509.X509Certificate;
  key: CryptoKey;
}

async function openAuthority({ caCertificate, caKey }: CertificateFiles): Promise<Authority> {
  if (existsSync(caCertificate) && existsSync(caKey)) {
    const der = x509.PemConverter.decode(readFileSync(caKey, "utf8"))[0] as ArrayBuffer;
    const key = await crypto.subtle.importKey("pkcs8", der, algorithm, false, ["sign"]);
    return { certificate: new x509.X509Certificate(readFileSync(caCertificate, "utf8")), key };
  }
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: `CN=Berth CA ${hostname()}`,
    notBefore: new Date(Date.now() - day),
    notAfter: new Date(Date.now() + authorityDays * day),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  writeFileSync(caKey, await keyText(keys.privateKey), { mode: 0o600 });
  writeFileSync(caCertificate, certificate.toString("pem"));
  return { certificate, key: keys.privateKey };
}

function isCurrent(directory: CertificateFiles, names: string[], authority: x509.X509Certificate): boolean {
  if (!existsSync(directory.certificate) || !existsSync(directory.certificateKey)) return false;
  const certificate = new x509.X509Certificate(readFileSync(directory.certificate, "utf8"));
  const covered = certificate.getExtension(x509.SubjectAlternativeNameExtension)?.names.items.map(({ value }) => value);
  return (
    certificate.issuer === authority.subject &&
    certificate.notAfter.getTime() - Date.now() > renewBefore &&
    names.every((name) => covered?.includes(name))
  );
}

async function keyText(key: CryptoKey): Promise<string> {
  return x509.PemConverter.encode(await crypto.subtle.exportKey("pkcs8", key), "PRIVATE KEY");
}

/** Positive, and unique as far as randomness goes. [RFC 5280 section 4.1.2.2] */
function serialNumber(): string {
  return `01${crypto.randomUUID().replaceAll("-", "").slice(0, 30)}`;
}
