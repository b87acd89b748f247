import { existsSync, readFileSync } from "node:fs";
import { importPKCS8, SignJWT } from "jose";
import { z } from "zod";
import { CommandFailure, UsageError } from "./command.ts";
import type { Environment, Input } from "./noun.ts";

/** A service account's key file, as far as it is needed here. [IAM, "Create and delete service account keys"] */
const keyFileShape = z.object({
  type: z.literal("service_account"),
  project_id: z.string().optional(),
  private_key_id: z.string(),
  private_key: z.string(),
  client_email: z.string(),
  token_uri: z.url({ protocol: /^https?$/ }),
});

type KeyFile = z.infer<typeof keyFileShape>;

/** What the command line signs in with. */
export type Credential = { token: string } | { file: string; key: KeyFile };

const firstKey = "./data/admin-key.json";
const scope = "https://www.googleapis.com/auth/cloud-platform";
/** Enough for clocks that differ a little; the server takes an hour at the most. */
const assertionSeconds = 300;

/** A flag counts before a variable, a token before the key that is only there. @throws CommandFailure */
export function findCredential(input: Input, environment: Environment): Credential {
  const flag = input.text("key-file");
  const token = environment.BERTH_ACCESS_TOKEN ?? "";
  if (flag === undefined && token !== "") {
    if (/^[\x21-\x7e]+$/.test(token)) return { token };
    throw new CommandFailure("BERTH_ACCESS_TOKEN holds what is no token");
  }
  const named = [flag, environment.BERTH_KEY_FILE, environment.GOOGLE_APPLICATION_CREDENTIALS];
  const file = named.find((each) => each !== undefined && each !== "");
  if (file === undefined && !existsSync(firstKey)) {
    throw new CommandFailure("name a key file with --key-file or BERTH_KEY_FILE, or put a token in BERTH_ACCESS_TOKEN");
  }
  return readKeyFile(file ?? firstKey);
}

function readKeyFile(file: string): Credential {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new CommandFailure(`the key file cannot be read: ${(error as Error).message}`);
  }
  try {
    return { file, key: keyFileShape.parse(JSON.parse(text)) };
  } catch {
    throw new CommandFailure(`${file} is not the key file of a service account`);
  }
}

/**
 * The server's origin: what was named, else where the key comes from. A token tells nothing about its server, and the
 * key file that happens to lie here must not decide who gets it. @throws UsageError
 */
export function serverOrigin(input: Input, environment: Environment, credential: Credential): string {
  const variable = environment.BERTH_SERVER || undefined;
  const named = input.text("server") ?? variable;
  if (named !== undefined) {
    const url = URL.parse(named);
    const isOrigin =
      url !== null && /^https?:$/.test(url.protocol) && `${url.pathname}${url.search}${url.hash}` === "/";
    if (isOrigin && url.username + url.password === "") return url.origin;
    throw new UsageError(`${input.has("server") ? "--server" : "BERTH_SERVER"}: expected http[s]://HOST[:PORT]`);
  }
  if ("token" in credential) throw new UsageError("with BERTH_ACCESS_TOKEN, name the server with --server");
  const { origin, hostname } = new URL(credential.key.token_uri);
  if (!/(?:^|\.)google(?:apis)?\.com$/.test(hostname)) return origin;
  throw new UsageError(`${credential.file} is a key for Google: name the server with --server`);
}

/**
 * What is exchanged for an access token. [RFC 7523; Google, "Using OAuth 2.0 for Server to Server Applications"]
 * @param origin of the server that gets it; one that was named by mistake cannot use it at the key's own
 * @throws CommandFailure
 */
export async function signAssertion({ key, file }: { key: KeyFile; file: string }, origin: string): Promise<string> {
  const own = new URL(key.token_uri);
  const audience = own.hostname === new URL(origin).hostname ? key.token_uri : `${origin}/token`;
  try {
    const privateKey = await importPKCS8(key.private_key, "RS256");
    return await new SignJWT({ scope })
      .setProtectedHeader({ alg: "RS256", typ: "JWT", kid: key.private_key_id })
      .setIssuer(key.client_email)
      .setAudience(audience)
      .setIssuedAt()
      .setExpirationTime(`${assertionSeconds} seconds`)
      .sign(privateKey);
  } catch {
    throw new CommandFailure(`the private key in ${file} cannot be used: expected RSA in PKCS #8`);
  }
}
