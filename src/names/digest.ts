/** A content digest, `ALGORITHM:HEX`, already checked. [OCI image-spec, descriptor, "Digests"] */
export type Digest = string & { readonly __digest: unique symbol };

export type DigestAlgorithm = "sha256" | "sha512";

const hexLength: Record<DigestAlgorithm, number> = { sha256: 64, sha512: 128 };

export function isDigestAlgorithm(text: string): text is DigestAlgorithm {
  return text === "sha256" || text === "sha512";
}

/** The digest that `text` spells, or `undefined` if its form or its algorithm is not a registered one. */
export function parseDigest(text: string): Digest | undefined {
  const algorithm = text.slice(0, 6);
  if (text.charCodeAt(6) !== 0x3a || !isDigestAlgorithm(algorithm)) return undefined;
  if (text.length !== 7 + hexLength[algorithm]) return undefined;
  for (let i = 7; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (!((c >= 0x30 && c <= 0x39) || (c >= 0x61 && c <= 0x66))) return undefined;
  }
  return text as Digest;
}

export function digestAlgorithm(digest: Digest): DigestAlgorithm {
  return digest.slice(0, 6) as DigestAlgorithm;
}

/** Computes a digest from bytes as they arrive. */
export class Digester {
  readonly algorithm: DigestAlgorithm;
  readonly #hasher: Bun.CryptoHasher;

  constructor(algorithm: DigestAlgorithm) {
    this.algorithm = algorithm;
    this.#hasher = new Bun.CryptoHasher(algorithm);
  }

  update(bytes: Uint8Array): void {
    this.#hasher.update(bytes);
  }

  /** The digest of all bytes seen; the digester cannot be used afterwards. */
  finish(): Digest {
    return `${this.algorithm}:${this.#hasher.digest("hex")}` as Digest;
  }
}

export function digestOf(bytes: Uint8Array | string, algorithm: DigestAlgorithm = "sha256"): Digest {
  return `${algorithm}:${new Bun.CryptoHasher(algorithm).update(bytes).digest("hex")}` as Digest;
}
