import type { Berth } from "./berth.ts";

/** A registry as a client sees it: Berth itself, or a proxy in front of it. */
export interface Site {
  /** What image names begin with. */
  host: string;
  /** Password of `_json_key`. */
  key: string;
  /** The authority that vouches for it; without one it speaks plain HTTP. */
  ca?: string;
}

export const user = "_json_key";

export function siteOf(berth: Berth): Site {
  return { host: berth.host, key: berth.key, ...(berth.url.startsWith("https:") ? { ca: berth.ca } : {}) };
}
