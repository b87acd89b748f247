/**
 * Why an exchange did not come to its end:
 * - `url`: not a URL that Berth may open (scheme, credentials in it, plain HTTP to a host that is not allowed)
 * - `address`: the host, or one of its addresses, is not on the public internet and not allowed
 * - `dns`: the name has no address
 * - `timeout`: the time for the exchange, or for the next bytes of a stream, is over
 * - `too-large`: more header fields or more body than the caller takes
 * - `redirects`: one too many, or one from HTTPS to HTTP
 * - `tls`: the handshake failed, or the certificate is not the host's
 * - `connection`: everything else below HTTP, and what is not HTTP
 */
export type EgressErrorKind = "url" | "address" | "dns" | "timeout" | "too-large" | "redirects" | "tls" | "connection";

/**
 * An exchange with another server that failed. The message names the host and the reason and may be shown to anyone
 * who gave the URL: it holds no credentials, path, query, header, body or resolved address. There is no `cause` for
 * the same reason: Bun's errors carry the whole URL.
 */
export class EgressError extends Error {
  override readonly name = "EgressError";
  readonly kind: EgressErrorKind;

  /** @param host as in the URL, with neither port nor user; empty if there is none */
  constructor(kind: EgressErrorKind, host: string, reason: string) {
    super(host === "" ? reason : `${host}: ${reason}`);
    this.kind = kind;
  }
}

/** How Node and Bun call what is wrong with a certificate or a handshake (OpenSSL's X509_V_ERR_… among them). */
const tlsCodes = /CERT|TLS|SSL|SIGNATURE|^EPROTO$|^INVALID_(CA|PURPOSE)$|^HOSTNAME_MISMATCH$|^PATH_LENGTH/;

/** The code, as `ECONNREFUSED`, that an error of the runtime carries. */
export function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === "string" && /^\w{1,64}$/.test(code) ? code : "";
}

/** What a caller is told of an error of `fetch` or of a body that it gave. */
export function egressErrorOf(host: string, error: unknown): EgressError {
  if (error instanceof EgressError) return error;
  const code = codeOf(error);
  const named = code === "" ? "" : ` (${code})`;
  if (code === "ERR_PROXY_TUNNEL") return new EgressError("connection", host, "the proxy refuses to connect to it");
  if (code === "ResponseHeadersTooLarge") return new EgressError("too-large", host, `too many header bytes${named}`);
  if (tlsCodes.test(code)) return new EgressError("tls", host, `the TLS connection is not to be trusted${named}`);
  return new EgressError("connection", host, `the connection failed${named}`);
}
