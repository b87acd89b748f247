import { isIP } from "node:net";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import type { Destination } from "./destination.ts";
import { codeOf, EgressError, egressErrorOf } from "./egress-error.ts";
import type { Outgoing } from "./outgoing.ts";

export interface Connecting {
  /** All authorities that are trusted, in PEM; undefined for those of the runtime. */
  ca: readonly string[] | undefined;
  /** Milliseconds for TCP and TLS with one address. */
  connectTimeout: number;
}

/** As much as the common servers send at most, and a good deal more than they do. */
const maxHeaderBytes = 64 * 1024;

/**
 * Sends a request to its destination, to one address after the other until one takes a connection, and answers with the
 * reply's head: redirects are not followed, and the body is as it was sent.
 *
 * A URL with the address in place of the name pins the connection. The Host header, the name asked for in
 * the TLS handshake and the name that the certificate is checked against are the one in the URL.
 * @throws EgressError `tls`, `too-large` or `connection`; the signal's reason if it was aborted
 */
export async function exchange(
  request: Outgoing,
  destination: Destination,
  connecting: Connecting,
  signal: AbortSignal,
): Promise<Response> {
  const { host, addresses, proxy } = destination;
  let failure = new EgressError("connection", host, "the name has no address");
  for (const address of proxy === undefined ? addresses : [host]) {
    const response = await attempt(request, { ...destination, address }, connecting, signal);
    if (response instanceof EgressError) failure = response;
    else return limitHeaders(host, response);
  }
  throw failure;
}

/** What a system says before a connection stands: nothing was sent yet. */
const unreachable = new Set(["ECONNREFUSED", "EADDRNOTAVAIL", "EHOSTUNREACH", "ENETUNREACH", "ENETDOWN"]);

/** @returns an error if no connection was made, so that another address may be tried; every other one is thrown */
async function attempt(
  request: Outgoing,
  { url, host, address, proxy }: Destination & { address: string },
  { ca, connectTimeout }: Connecting,
  signal: AbortSignal,
): Promise<Response | EgressError> {
  const isSecure = url.protocol === "https:";
  const connection = new AbortController();
  const progress = { connected: false };
  const late = (): void =>
    connection.abort(new EgressError("connection", host, `no connection within ${connectTimeout} ms`));
  // Only TLS tells when the connection stands. Where an allowed host does not, the exchange's own time has to do.
  const timer = isSecure ? setTimeout(late, connectTimeout) : undefined;
  const headers = new Headers(request.headers);
  if (proxy === undefined) headers.set("host", url.host);
  try {
    return await fetch(proxy === undefined ? pinned(url, address) : url, {
      method: request.method,
      headers,
      body: (request.body ?? null) as BodyInit | null,
      signal: AbortSignal.any([signal, connection.signal]),
      redirect: "manual",
      decompress: false,
      // One name's connection must not serve another that has the same address.
      keepalive: false,
      // Without this Bun looks at the environment itself, and would send a pinned address to the proxy there.
      proxy: proxy === undefined ? false : { url: proxy, respectNoProxy: false },
      tls: {
        ...(ca === undefined ? {} : { ca: [...ca] }),
        ...(proxy === undefined && isIP(host) === 0 ? { serverName: host } : {}),
        // NODE_TLS_REJECT_UNAUTHORIZED=0 would count otherwise.
        rejectUnauthorized: true,
        checkServerIdentity: (_: string, certificate: PeerCertificate) => {
          progress.connected = true;
          clearTimeout(timer);
          return checkServerIdentity(host, certificate);
        },
      },
    });
  } catch (error) {
    signal.throwIfAborted();
    if (connection.signal.aborted) return connection.signal.reason as EgressError;
    const problem = egressErrorOf(host, error);
    const unsent = isSecure ? !progress.connected : unreachable.has(codeOf(error));
    if (problem.kind === "connection" && unsent) return problem;
    throw problem;
  } finally {
    clearTimeout(timer);
  }
}

/** Made anew: assigning a host that does not fit to a URL leaves the name in it, unpinned. */
function pinned(url: URL, address: string): URL {
  const host = isIP(address) === 6 ? `[${address}]` : address;
  const port = url.port === "" ? "" : `:${url.port}`;
  return new URL(`${url.protocol}//${host}${port}${url.pathname}${url.search}`);
}

function limitHeaders(host: string, response: Response): Response {
  let size = 0;
  for (const [name, value] of response.headers) size += name.length + value.length + 4;
  if (size > maxHeaderBytes) throw new EgressError("too-large", host, `more than ${maxHeaderBytes} header bytes`);
  return response;
}
