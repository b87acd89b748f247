import { parseListen } from "./listen-address.ts";
import type { Settings } from "./options.ts";

/** Where the server is. */
export interface PublicAddress {
  /** Without a port. */
  host: string;
  /** As others reach the server: `https://HOST[:PORT]`. */
  url: string;
  /** As the server itself listens. */
  listening: string;
}

export function publicAddress(settings: Settings, port: number): PublicAddress {
  const { hostname } = parseListen(settings.listen);
  const scheme = settings.tls === "off" ? "http" : "https";
  const local = hostname === "127.0.0.1" || hostname === "0.0.0.0" || hostname === "::" ? "localhost" : hostname;
  const own = `${local.includes(":") ? `[${local}]` : local}:${port}`;
  const name = settings.publicName ?? own;
  return { host: name.replace(/:\d+$/, ""), url: `${scheme}://${name}`, listening: `${scheme}://${own}` };
}
