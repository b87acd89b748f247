import { isIP } from "node:net";
import ipaddr from "ipaddr.js";

type Address = ReturnType<typeof ipaddr.parse>;
export type Network = ReturnType<typeof ipaddr.parseCIDR>;

/** All that IANA has given out as global unicast. [RFC 4291 section 2.4, IANA IPv6 address space] */
const globalUnicast: Network = ipaddr.parseCIDR("2000::/3");
/** An IPv4 host as a network with IPv6 only sees it. [RFC 6052 section 2.1] */
const nat64: Network = ipaddr.parseCIDR("64:ff9b::/96");
/** Public by its number, yet each Azure machine's own platform services. [learn.microsoft.com "168.63.129.16"] */
const azurePlatform = ipaddr.parse("168.63.129.16");

/**
 * An address, or a network as `ADDRESS/BITS`; undefined if it is neither. The address must be written in full: the
 * library alone would take `10/8` for 0.0.0.10/8.
 */
export function parseNetwork(text: string): Network | undefined {
  const [address, bits, more] = text.split("/") as [string, string?, string?];
  const version = isIP(address);
  if (version === 0 || address.includes("%") || more !== undefined) return undefined;
  const longest = version === 4 ? 32 : 128;
  if (bits === undefined) return [parse(address), longest];
  if (!/^\d{1,3}$/.test(bits) || Number(bits) > longest) return undefined;
  return [parse(address), Number(bits)];
}

/** Whether an address, in any of its forms, lies in one of the networks. */
export function isWithin(text: string, networks: readonly Network[]): boolean {
  const address = parse(text);
  return [address, embedded(address)].some((form) => networks.some((network) => matches(form, network)));
}

/**
 * The kind of an address that is not on the public internet, as `private` or `linkLocal`; undefined for one that is.
 * [IANA IPv4 and IPv6 Special-Purpose Address Registries]
 *
 * IPv4 within IPv6 (mapped, NAT64) is what it holds; the forms that nobody needs any more (compatible, 6to4, Teredo,
 * NAT64 with a prefix of its own) are not public whatever they hold.
 */
export function specialRange(text: string): string | undefined {
  const address = embedded(parse(text));
  const range = address.range();
  if (range !== "unicast") return range;
  if (address.kind() === "ipv6" && !matches(address, globalUnicast)) return "reserved";
  if (address.toString() === azurePlatform.toString()) return "reserved";
  return undefined;
}

/** By way of the URL parser: the library alone takes `::8.8.8.8`, as resolvers write it, for `::ffff:8.8.8.8`. */
function parse(text: string): Address {
  const address = isIP(text) === 6 ? new URL(`https://[${text.replace(/%.*$/, "")}]`).hostname.slice(1, -1) : text;
  return ipaddr.parse(address);
}

/** The IPv4 address that an IPv6 address stands for. */
function embedded(address: Address): Address {
  if (address instanceof ipaddr.IPv4) return address;
  if (address.isIPv4MappedAddress()) return address.toIPv4Address();
  if (matches(address, nat64)) return new ipaddr.IPv4(address.toByteArray().slice(12));
  return address;
}

function matches(address: Address, [network, bits]: Network): boolean {
  return network.kind() === address.kind() && address.match(network as never, bits);
}
