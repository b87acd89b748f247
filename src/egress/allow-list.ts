import { isWithin, parseNetwork, type Network } from "./networks.ts";

/** The hosts that may be reached although they are not on the public internet. */
export class AllowList {
  readonly #names = new Set<string>();
  readonly #suffixes: string[] = [];
  readonly #networks: Network[] = [];

  /**
   * @param entries host names, `*.SUFFIX` for all names below one, addresses, or networks as `ADDRESS/BITS`
   * @throws Error naming the entry that is none of them
   */
  constructor(entries: readonly string[]) {
    for (const entry of entries) {
      const network = parseNetwork(entry);
      if (network !== undefined) this.#networks.push(network);
      else if (entry.startsWith("*.")) this.#suffixes.push(`.${hostName(entry.slice(2), entry)}`);
      else this.#names.add(hostName(entry, entry));
    }
  }

  /** What is wrong with an entry; `undefined` for a good one. */
  static faultOf(entry: string): string | undefined {
    try {
      return new AllowList([entry]).admitsName("") ? entry : undefined;
    } catch (error) {
      return (error as Error).message;
    }
  }

  /** @param host a name in lower case, without a trailing dot */
  admitsName(host: string): boolean {
    return this.#names.has(host) || this.#suffixes.some((suffix) => host.endsWith(suffix));
  }

  admitsAddress(address: string): boolean {
    return isWithin(address, this.#networks);
  }
}

/** A name as URLs have it: in lower case, international ones in Punycode. */
function hostName(text: string, entry: string): string {
  const parsed = /^[^/?#@:\\%]+$/.test(text) ? URL.parse(`https://${text}/`)?.hostname.replace(/\.$/, "") : undefined;
  // `10.1` would come back as the address 10.0.0.1, which is hardly what was meant.
  if (parsed === undefined || !/^(?=.*[a-z_-])[\w-]+(\.[\w-]+)*$/.test(parsed)) {
    throw new Error(`"${entry}" is neither a host name, nor *.SUFFIX, nor an address, nor a network`);
  }
  return parsed;
}
