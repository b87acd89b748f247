import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import type { AllowList } from "./allow-list.ts";
import { Deadline } from "./deadline.ts";
import { codeOf, EgressError } from "./egress-error.ts";
import { specialRange } from "./networks.ts";
import type { Proxies } from "./proxies.ts";
import { hostOf } from "./url.ts";

/** All addresses of a name. */
export type Resolve = (host: string) => Promise<readonly string[]>;

export interface Rules {
  allow: AllowList;
  proxies: Proxies;
  resolve: Resolve;
}

/** A URL that may be opened, and where. */
export interface Destination {
  url: URL;
  /** See {@link hostOf}. */
  host: string;
  /** The addresses that were judged: one of these is connected to, nothing else. None are needed with a proxy. */
  addresses: readonly string[];
  proxy: string | undefined;
}

/** A network behind a proxy often resolves no names of the outside, and some let each question run into the void. */
const lookupBehindProxy = 2_000;

export async function resolveAll(host: string): Promise<string[]> {
  const found = await lookup(host, { all: true });
  return [...new Set(found.map(({ address }) => address))];
}

/**
 * Judges where a URL leads, before anything is sent there.
 *
 * A host that is not allowed is refused if one of its addresses is neither allowed nor on the public internet: a name
 * with both kinds is an attempt. Plain HTTP is for hosts that are allowed, by name or by each of their addresses.
 *
 * Through a proxy a name is judged by the addresses it has here; if it has none here (the proxy may be the only one
 * that resolves names), it is the proxy's to judge. An address in the URL is judged as ever.
 * @param url from `egressUrl`
 * @throws EgressError `url`, `address` or `dns`
 */
export async function destinationOf(url: URL, rules: Rules, signal: AbortSignal): Promise<Destination> {
  const host = hostOf(url);
  const proxy = rules.proxies.proxyFor(url);
  const isAllowed = rules.allow.admitsName(host);
  if (isAllowed && proxy !== undefined) return { url, host, addresses: [], proxy };
  const addresses = isIP(host) === 0 ? await addressesOf(host, rules.resolve, proxy !== undefined, signal) : [host];
  if (isAllowed) return { url, host, addresses, proxy };
  const others = addresses.filter((address) => !rules.allow.admitsAddress(address));
  for (const address of others) {
    const range = specialRange(address);
    if (range !== undefined) throw new EgressError("address", host, `its address is not a public one (${range})`);
  }
  if (url.protocol === "http:" && (others.length > 0 || addresses.length === 0)) {
    throw new EgressError("url", host, "plain HTTP is only for hosts that are allowed");
  }
  return { url, host, addresses, proxy };
}

async function addressesOf(
  host: string,
  resolve: Resolve,
  proxied: boolean,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const addresses = await lookUp(host, resolve, proxied, signal);
  // A zone, as in fe80::1%eth0, cannot stand in a URL.
  if (addresses.every((address) => isIP(address) !== 0 && !address.includes("%"))) return addresses;
  throw new EgressError("dns", host, "the name has an address that cannot be used");
}

async function lookUp(
  host: string,
  resolve: Resolve,
  proxied: boolean,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const deadline = new Deadline(host, signal);
  if (proxied) deadline.start(lookupBehindProxy);
  try {
    const addresses = await deadline.race(resolve(host));
    if (addresses.length === 0 && !proxied) throw new EgressError("dns", host, "the name has no address");
    return addresses;
  } catch (error) {
    signal.throwIfAborted();
    if (proxied) return [];
    if (error instanceof EgressError) throw error;
    throw new EgressError("dns", host, `the name cannot be resolved (${codeOf(error)})`);
  } finally {
    deadline.stop();
  }
}
