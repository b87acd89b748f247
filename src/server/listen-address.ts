/** Where to listen; port 0 lets the system choose. */
export interface ListenAddress {
  hostname: string;
  port: number;
}

/** `ADDR:PORT`, with an IPv6 address in brackets and every address for an empty one. @throws Error */
export function parseListen(listen: string): ListenAddress {
  const match = /^(\[[0-9a-fA-F:.]+\]|[^:]*):(\d{1,5})$/.exec(listen);
  if (match === null || Number(match[2]) > 65535) {
    throw new Error(`expected ADDR:PORT, such as 127.0.0.1:5000, not "${listen}"`);
  }
  const hostname = (match[1] as string).replace(/^\[(.*)\]$/, "$1");
  return { hostname: hostname === "" ? "0.0.0.0" : hostname, port: Number(match[2]) };
}
