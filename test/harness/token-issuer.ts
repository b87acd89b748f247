import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from "jose";

/** An OpenID Connect issuer as CI systems are: it signs tokens and publishes its keys. */
export interface TokenIssuer {
  /** `http://127.0.0.1:PORT` */
  url: string;
  /** How often its keys were asked for. */
  keyRequests(): number;
  /** Whether it answers, or fails each request. */
  answers: boolean;
  /** From now on tokens are signed by a new key, and the old one is not published any more. */
  rotate(): Promise<void>;
  /** Its key set. */
  jwks(): string;
  /** A token with these claims; by default it was issued now and lives ten minutes. */
  sign(claims: JWTPayload): Promise<string>;
  stop(): Promise<void>;
}

export async function startTokenIssuer(algorithm: "RS256" | "ES256" = "RS256"): Promise<TokenIssuer> {
  const makeKey = async () => {
    const { publicKey, privateKey } = await generateKeyPair(algorithm, { extractable: true });
    const id = crypto.randomUUID();
    return { id, privateKey, jwk: { ...(await exportJWK(publicKey)), kid: id, alg: algorithm, use: "sig" } };
  };
  let key = await makeKey();
  let asked = 0;
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    routes: {
      "/.well-known/openid-configuration": () =>
        issuer.answers
          ? Response.json({ issuer: issuer.url, jwks_uri: `${issuer.url}/keys` })
          : new Response("down", { status: 503 }),
      "/keys": () => {
        asked++;
        return issuer.answers ? new Response(issuer.jwks()) : new Response("down", { status: 503 });
      },
    },
  });
  const issuer: TokenIssuer = {
    url: `http://127.0.0.1:${server.port}`,
    keyRequests: () => asked,
    answers: true,
    async rotate() {
      key = await makeKey();
    },
    jwks: () => JSON.stringify({ keys: [key.jwk] }),
    sign(claims) {
      const now = Math.floor(Date.now() / 1000);
      return new SignJWT({ iss: issuer.url, iat: now, exp: now + 600, ...claims })
        .setProtectedHeader({ alg: algorithm, kid: key.id })
        .sign(key.privateKey);
    },
    stop: () => server.stop(true),
  };
  return issuer;
}
