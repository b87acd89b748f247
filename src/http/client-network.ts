import ipaddr from "ipaddr.js";

/** What is counted as one client: an IPv4 address, or the /64 that an IPv6 client has to itself. */
export function clientNetwork(address: string): string {
  if (!ipaddr.isValid(address)) return address;
  const parsed = ipaddr.process(address);
  return parsed.kind() === "ipv4" ? parsed.toString() : parsed.toNormalizedString().split(":").slice(0, 4).join(":");
}

/** What one subscriber may have all of: an IPv4 address, or an IPv6 /48. */
export function siteOf(address: string): string {
  const network = clientNetwork(address);
  return network.includes(":") ? `${network.split(":").slice(0, 3).join(":")}::/48` : network;
}

/** Whether a client is on the server's own machine. */
export function isLoopback(address: string): boolean {
  return address.startsWith("127.") || (ipaddr.isValid(address) && ipaddr.process(address).range() === "loopback");
}
