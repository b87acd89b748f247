import { importJWK, type JWK, SignJWT } from "jose";
import type { Berth } from "../harness/berth.ts";
import { openMetadata } from "../harness/metadata.ts";

/** What stands in a registry token. */
export interface Claims extends Record<string, unknown> {
  iss?: unknown;
  sub?: unknown;
  aud?: unknown;
  iat?: unknown;
  exp?: unknown;
  key?: unknown;
  access?: unknown;
}

/** The pair that signs the tokens of a server. */
export interface SigningPair {
  id: string;
  privateJwk: JWK;
  publicJwk: JWK;
}

/** Reads the signing key, as only someone with the server's data can. */
export function signingPairOf(berth: Berth): SigningPair {
  const database = openMetadata(berth.data);
  try {
    const row = database.get("SELECT id, private_jwk, public_jwk FROM signing_keys");
    const { id, private_jwk, public_jwk } = row as Record<"id" | "private_jwk" | "public_jwk", string>;
    return { id, privateJwk: JSON.parse(private_jwk) as JWK, publicJwk: JSON.parse(public_jwk) as JWK };
  } finally {
    database.close();
  }
}

export const encode = (part: object | string): string =>
  Buffer.from(typeof part === "string" ? part : JSON.stringify(part)).toString("base64url");

function decode(part: string | undefined): Record<string, unknown> {
  return JSON.parse(Buffer.from(part ?? "", "base64url").toString("utf8")) as Record<string, unknown>;
}

/** The header and the claims of a token. */
export function readToken(token: string): { header: Record<string, unknown>; claims: Claims } {
  const [header, claims] = token.split(".");
  return { header: decode(header), claims: decode(claims) };
}

/** A token of any claims, rightly signed by the given key. */
export async function signToken(claims: Claims, jwk: JWK, header: object): Promise<string> {
  const key = await importJWK(jwk, "ES256");
  return new SignJWT(claims as Record<string, unknown>)
    .setProtectedHeader({ alg: "ES256", typ: "JWT", ...header })
    .sign(key);
}
