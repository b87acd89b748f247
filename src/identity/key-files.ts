import { createPrivateKey, createPublicKey, generateKeyPair, randomBytes, sign, verify } from "node:crypto";
import { promisify } from "node:util";
import { z } from "zod";
import type { UsableKey } from "./standing.ts";

/** The JSON key file of a service account, as Google's tools read it. [IAM, "Create and delete service account keys"] */
const keyFileShape = z.object({
  type: z.literal("service_account"),
  private_key_id: z.string().min(1).max(200),
  private_key: z.string().min(1).max(20_000),
  client_email: z.string().min(1).max(320),
});

export type KeyFile = z.infer<typeof keyFileShape>;

/** The key file that `text` holds, or `undefined`. */
export function parseKeyFile(text: string): KeyFile | undefined {
  try {
    return keyFileShape.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/**
 * Whether the private key in the file is the other half of the registered one. It must sign: a "private key" put
 * together from the public numbers alone looks the same until it is used. About 1 ms.
 */
export function provesKey(file: KeyFile, registered: UsableKey): boolean {
  if (file.client_email !== registered.email) return false;
  try {
    const challenge = randomBytes(32);
    const signature = sign("sha256", challenge, createPrivateKey(file.private_key));
    return verify("sha256", challenge, createPublicKey(registered.publicKey), signature);
  } catch {
    return false;
  }
}

export interface NewKey {
  id: string;
  publicKey: string;
  /** PKCS #8 in PEM: handed out once, never stored. */
  privateKey: string;
}

/** An RSA key of 2,048 bits, as Google makes them. */
export async function makeKey(): Promise<NewKey> {
  const pair = await promisify(generateKeyPair)("rsa", {
    modulusLength: 2048,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
  return { id: randomBytes(20).toString("hex"), publicKey: pair.publicKey, privateKey: pair.privateKey };
}

interface KeyOwner {
  project: string;
  email: string;
  uniqueId: string;
  /** `https://HOST`, where clients reach this server. */
  server: string;
}

/** The text of a key file whose `token_uri` points at this server. */
export function formatKeyFile(key: NewKey, owner: KeyOwner): string {
  const file = {
    type: "service_account",
    project_id: owner.project,
    private_key_id: key.id,
    private_key: key.privateKey,
    client_email: owner.email,
    client_id: owner.uniqueId,
    auth_uri: `${owner.server}/o/oauth2/auth`,
    token_uri: `${owner.server}/token`,
    auth_provider_x509_cert_url: `${owner.server}/oauth2/v1/certs`,
    client_x509_cert_url: `${owner.server}/robot/v1/metadata/x509/${encodeURIComponent(owner.email)}`,
    universe_domain: "googleapis.com",
  };
  return `${JSON.stringify(file, null, 2)}\n`;
}
