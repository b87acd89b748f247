import ipaddr from "ipaddr.js";

type Network = ReturnType<typeof ipaddr.parseCIDR>;

/** What a client and the proxies on its way say of where a request came from. */
export interface Origin {
  scheme: string;
  host: string;
  clientAddress: string;
}

/** Reads X-Forwarded-* headers, which count only where a configured proxy sent the request. */
export class Forwarding {
  readonly #networks: Network[];

  /** @param proxies addresses, or networks as `ADDRESS/BITS` */
  constructor(proxies: readonly string[]) {
    this.#networks = proxies.map((text) => {
      if (text.includes("/")) return ipaddr.parseCIDR(text);
      const address = ipaddr.parse(text);
      return [address, address.kind() === "ipv4" ? 32 : 128];
    });
  }

  get isConfigured(): boolean {
    return this.#networks.length > 0;
  }

  /** @param direct as the connection itself shows it */
  originOf(headers: Headers, direct: Origin): Origin {
    if (!this.#trusts(direct.clientAddress)) return direct;
    const scheme = headers.get("x-forwarded-proto")?.split(",", 1)[0]?.trim();
    const host = headers.get("x-forwarded-host")?.split(",", 1)[0]?.trim();
    return {
      scheme: scheme === "https" || scheme === "http" ? scheme : direct.scheme,
      host: host !== undefined && /^[A-Za-z0-9.:[\]-]{1,300}$/.test(host) ? host : direct.host,
      clientAddress: this.#client(headers.get("x-forwarded-for"), direct.clientAddress),
    };
  }

  /** The last address that no trusted proxy added: what stands before it anyone can write. */
  #client(header: string | null, direct: string): string {
    const hops = header?.split(",").map((hop) => hop.trim()) ?? [];
    for (const hop of hops.reverse()) {
      if (!this.#trusts(hop)) return isAddress(hop) ? hop : direct;
    }
    return direct;
  }

  #trusts(text: string): boolean {
    if (!isAddress(text)) return false;
    const address = ipaddr.process(text);
    return this.#networks.some(
      ([network, bits]) => network.kind() === address.kind() && address.match(network as never, bits),
    );
  }
}

function isAddress(text: string): boolean {
  try {
    ipaddr.parse(text);
    return true;
  } catch {
    return false;
  }
}
