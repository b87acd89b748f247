/** A host name that images are pushed under. */
export interface Host {
  name: string;
  /** Where the bytes of its registries live. */
  store: string;
  /** A host that takes no pushes: a mirror. */
  readOnly: boolean;
}

/** A host as one request named it. */
export interface RequestedHost {
  host: Host;
  /** The Host header: what challenges and messages say. */
  asked: string;
  /** Whether a manifest that is tagged, or that a list holds, cannot be deleted under this name. */
  protectReferenced: boolean;
}

const containerRegistry = ["gcr.io", "us.gcr.io", "eu.gcr.io", "asia.gcr.io"];

/** The host whose registries answer under every name that is not configured. */
export const defaultHost = "gcr.io";

const wellFormed = /^(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::\d{1,5})?$/;

/** Whether a Host header is a host, with a port or without: anything else goes into no challenge. [RFC 9110 section 7.2] */
export function isHost(header: string): boolean {
  if (header === lastHost) return true;
  const isOne = wellFormed.test(header) && URL.canParse(`http://${header}`);
  if (isOne) lastHost = header;
  return isOne;
}

/** Most requests name the same one. */
let lastHost = "";

/** A Host header without its port. */
export function hostNameOf(header: string): string {
  return header.replace(/:\d+$/, "");
}

/** Finds the host that a request means. */
export class Hosts {
  readonly #hosts: ReadonlyMap<string, Host>;
  readonly #protectReferenced: boolean;

  /** @param configured hosts beside Container Registry's own, or with other stores than `default` */
  constructor(configured: readonly Host[], protectReferenced: boolean) {
    const own = containerRegistry.map((name) => ({ name, store: "default", readOnly: false }));
    const mirror = { name: "mirror.gcr.io", store: "default", readOnly: true };
    this.#hosts = new Map([...own, mirror, ...configured].map((host) => [host.name, host]));
    this.#protectReferenced = protectReferenced;
  }

  /** @param header the Host header, with a port or without */
  find(header: string): RequestedHost {
    // A name may end with the dot of the root.
    const name = hostNameOf(header).toLowerCase().replace(/\.$/, "");
    const host = this.#hosts.get(name) ?? (this.#hosts.get(defaultHost) as Host);
    return {
      host,
      asked: header,
      protectReferenced: this.#protectReferenced || name === "gcr.io" || name.endsWith(".gcr.io"),
    };
  }

  all(): Host[] {
    return [...this.#hosts.values()];
  }
}
