import { EgressError } from "./egress-error.ts";

/**
 * A URL in the one form that everything after it looks at: no fragment, no dot after the host's name. The parser has
 * already brought each way to write an IPv4 address (`0x7f000001`, `127.1`, fullwidth digits) to the one with four
 * numbers.
 * @throws EgressError `url` if nothing could be opened there, or if it holds credentials
 */
export function egressUrl(given: string | URL, base?: URL): URL {
  const url = URL.parse(given, base);
  if (url === null) throw new EgressError("url", "", "this is not a URL");
  if (url.protocol !== "https:" && url.protocol !== "http:") {
    throw new EgressError("url", "", "only https and http URLs can be opened");
  }
  url.hash = "";
  url.hostname = url.hostname.replace(/\.$/, "");
  const host = hostOf(url);
  if (host === "" || host.endsWith(".")) throw new EgressError("url", "", "the URL has no host");
  if (url.username !== "" || url.password !== "") throw new EgressError("url", host, "the URL holds credentials");
  return url;
}

/** The name or address in a URL, an IPv6 address without its brackets. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, "");
}
