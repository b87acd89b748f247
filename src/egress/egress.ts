import { X509Certificate } from "node:crypto";
import { getCACertificates } from "node:tls";
import { AllowList } from "./allow-list.ts";
import { bodyBytes, decodedHeaders } from "./body.ts";
import { Deadline } from "./deadline.ts";
import { destinationOf, resolveAll, type Resolve, type Rules } from "./destination.ts";
import { EgressError } from "./egress-error.ts";
import { exchange, type Connecting } from "./exchange.ts";
import { redirected, requestHeaders, type Method, type Outgoing } from "./outgoing.ts";
import { Proxies, type ProxySettings } from "./proxies.ts";
import { egressUrl, hostOf } from "./url.ts";

export interface EgressOptions {
  /**
   * Host names, `*.SUFFIX`, addresses and networks (`ADDRESS/BITS`) that may be reached although they are not on the
   * public internet, and over plain HTTP. A name that is allowed is trusted whatever its addresses are.
   */
  allow: readonly string[];
  proxy?: ProxySettings | undefined;
  /** Certificates in PEM that are trusted besides the system's. */
  ca?: string | undefined;
  /** Milliseconds for TCP and TLS with one address of a host; 10,000 unless told. */
  connectTimeout?: number | undefined;
}

interface RequestOptions {
  /** GET unless told. */
  method?: Method | undefined;
  /** Host, Accept-Encoding and the connection's own headers are set here, whatever is given. */
  headers?: HeadersInit | undefined;
  body?: string | Uint8Array | undefined;
  /** Of the reply's body, inflated. */
  maxBytes: number;
  /** With 0 a redirect is not followed and answered as it is; with more, one above is an error. */
  maxRedirects: number;
  signal?: AbortSignal | undefined;
}

export interface FetchOptions extends RequestOptions {
  /** Milliseconds for the whole exchange: resolving, connecting, redirects and body. */
  timeout: number;
}

export interface OpenOptions extends RequestOptions {
  /** Milliseconds until the headers of the last reply are there. */
  timeout: number;
  /** Milliseconds that each wait for more of the body may take. A reader's own pauses do not count. */
  idleTimeout: number;
}

interface Reply<Body> {
  status: number;
  headers: Headers;
  body: Body;
  /** Where the reply came from after redirects; without a fragment. */
  url: string;
}

/**
 * The one guarded way out: whatever Berth's server asks of another, it asks through here, because the URLs come
 * from users, documents and other servers (server-side request forgery).
 *
 * - https, and http to allowed hosts; no credentials in URLs; public or allowed addresses. See `destinationOf`.
 * - The connection goes to an address that was judged, so that a second answer of DNS changes nothing (rebinding).
 * - A redirect is judged as the first URL was.
 * - Header bytes, body bytes and time are bounded.
 *
 * It follows no cookies, caches nothing, and retries only where no connection was made.
 */
export class Egress {
  readonly #rules: Rules;
  readonly #connecting: Connecting;

  /**
   * @param resolve for tests
   * @throws Error naming what is wrong with the options
   */
  constructor({ allow, proxy, ca, connectTimeout }: EgressOptions, resolve: Resolve = resolveAll) {
    this.#rules = { allow: new AllowList(allow), proxies: new Proxies(proxy ?? {}), resolve };
    this.#connecting = {
      ca: ca === undefined ? undefined : [...getCACertificates("default"), ...certificates(ca)],
      connectTimeout: connectTimeout ?? 10_000,
    };
  }

  /**
   * A whole exchange; a status of 400 or above is no error.
   * @throws EgressError, or the signal's reason
   */
  async fetch(url: string | URL, options: FetchOptions): Promise<Reply<Uint8Array<ArrayBuffer>>> {
    const request = outgoing(url, options);
    const deadline = new Deadline(hostOf(request.url), options.signal);
    deadline.start(options.timeout);
    try {
      const { response, url: last } = await this.#follow(request, options.maxRedirects, deadline.signal);
      const reading = { host: hostOf(last), maxBytes: options.maxBytes, signal: deadline.signal };
      const body = Buffer.concat(await Array.fromAsync(bodyBytes(response, reading)));
      return { status: response.status, headers: decodedHeaders(response), body, url: last.href };
    } finally {
      deadline.end();
    }
  }

  /**
   * An exchange whose body is read as it arrives. It must be read to its end or cancelled, and keeps a connection until
   * then.
   * @throws EgressError, or the signal's reason; the body's stream fails with the same
   */
  async open(url: string | URL, options: OpenOptions): Promise<Reply<ReadableStream<Uint8Array>>> {
    const request = outgoing(url, options);
    const deadline = new Deadline(hostOf(request.url), options.signal);
    deadline.start(options.timeout);
    try {
      const { response, url: last } = await this.#follow(request, options.maxRedirects, deadline.signal);
      deadline.stop();
      const bytes = bodyBytes(response, {
        host: hostOf(last),
        maxBytes: options.maxBytes,
        signal: deadline.signal,
        waiting: () => deadline.start(options.idleTimeout),
        working: () => deadline.stop(),
      });
      const body = streamOf(bytes, deadline);
      return { status: response.status, headers: decodedHeaders(response), body, url: last.href };
    } catch (error) {
      deadline.end();
      throw error;
    }
  }

  async #follow(first: Outgoing, maxRedirects: number, signal: AbortSignal): Promise<{ response: Response; url: URL }> {
    let request = first;
    for (let followed = 0; ; followed++) {
      const destination = await destinationOf(request.url, this.#rules, signal);
      const response = await exchange(request, destination, this.#connecting, signal);
      const next = maxRedirects === 0 ? undefined : redirected(request, response);
      if (next === undefined) return { response, url: request.url };
      if (followed === maxRedirects) {
        throw new EgressError("redirects", destination.host, `more than ${maxRedirects} redirects`);
      }
      await response.body?.cancel();
      request = next;
    }
  }
}

function outgoing(given: string | URL, { method, headers, body }: RequestOptions): Outgoing {
  return { url: egressUrl(given), method: method ?? "GET", headers: requestHeaders(headers), body };
}

/** Reads only when it is read. Its end, however it comes, is the connection's. */
function streamOf(bytes: AsyncGenerator<Uint8Array>, deadline: Deadline): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await bytes.next();
          if (!done) return controller.enqueue(value);
          deadline.end();
          controller.close();
        } catch (error) {
          deadline.end();
          throw error;
        }
      },
      cancel: () => deadline.end(),
    },
    { highWaterMark: 0 },
  );
}

/** The certificates of a bundle, each by itself. @throws Error if one cannot be read */
function certificates(bundle: string): string[] {
  const found = bundle.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (found.length === 0) throw new Error("the bundle of certificates holds none in PEM");
  for (const text of found) void new X509Certificate(text);
  return found;
}
