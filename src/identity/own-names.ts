/** Whether a host's name is this server's: what it is configured to be called, and Google's APIs, in whose place it answers. */
export type OwnNames = (hostname: string) => boolean;

const googleApi = /^(?:[a-z0-9-]+\.)?googleapis\.com$/;
const loopback = new Set(["localhost", "127.0.0.1", "[::1]"]);

/**
 * @param issuer the server's public address
 * @param hosts the names that it has registries under
 */
export function ownNames(issuer: string, hosts: readonly string[]): OwnNames {
  const { hostname } = new URL(issuer);
  const names = new Set([hostname, ...hosts, ...(loopback.has(hostname) ? loopback : [])]);
  return (name) => names.has(name) || googleApi.test(name);
}
