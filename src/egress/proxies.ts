import { isIP } from "node:net";
import { isWithin, parseNetwork, type Network } from "./networks.ts";
import { hostOf } from "./url.ts";

/** Each as the environment variable of that name has it. */
export interface ProxySettings {
  /** HTTPS_PROXY: the proxy for https URLs, as `http://USER:PASSWORD@HOST:PORT`, `https://…` or `HOST:PORT`. */
  https?: string | undefined;
  /** HTTP_PROXY: the proxy for http URLs. */
  http?: string | undefined;
  /** NO_PROXY: whom to reach without one; see {@link Proxies}. */
  except?: string | undefined;
}

/** What HTTPS_PROXY, HTTP_PROXY and NO_PROXY say; in lower case they count where those in capitals are not set. */
export function proxyFromEnvironment(env: Record<string, string | undefined>): ProxySettings {
  return {
    https: env["HTTPS_PROXY"] ?? env["https_proxy"],
    http: env["HTTP_PROXY"] ?? env["http_proxy"],
    except: env["NO_PROXY"] ?? env["no_proxy"],
  };
}

interface Exception {
  /** `host`, `.suffix` or a network; undefined stands for all. */
  host: string | Network | undefined;
  port: string | undefined;
}

/**
 * Which proxy a URL is reached through, by the rules of Go's `httpproxy` package, which Docker and Kubernetes users
 * know: entries of NO_PROXY are `NAME` (it and all below it), `.SUFFIX` or `*.SUFFIX` (only what is below it), an
 * address or network (for URLs that hold an address), each with `:PORT` if need be (networks excepted), or `*`. The
 * machine's own loopback is never reached through a proxy, which would take it for its own.
 */
export class Proxies {
  readonly #proxies: Record<string, string | undefined>;
  readonly #exceptions: Exception[];

  /** @throws Error if a proxy's URL is none; it does not show the URL, which may hold a password */
  constructor({ https, http, except }: ProxySettings) {
    this.#proxies = { "https:": proxyUrl("HTTPS_PROXY", https), "http:": proxyUrl("HTTP_PROXY", http) };
    this.#exceptions = (except ?? "").split(/[\s,]+/).flatMap((entry) => (entry === "" ? [] : [exception(entry)]));
  }

  /** @param url from `egressUrl` */
  proxyFor(url: URL): string | undefined {
    const host = hostOf(url);
    const port = url.port === "" ? (url.protocol === "https:" ? "443" : "80") : url.port;
    if (host === "localhost" || (isIP(host) !== 0 && isWithin(host, loopback))) return undefined;
    const excepted = this.#exceptions.some(
      (entry) => (entry.port === undefined || entry.port === port) && matches(host, entry.host),
    );
    return excepted ? undefined : this.#proxies[url.protocol];
  }
}

const loopback = ["127.0.0.0/8", "::1"].map((text) => parseNetwork(text) as Network);

function matches(host: string, entry: Exception["host"]): boolean {
  if (entry === undefined) return true;
  if (typeof entry !== "string") return isIP(host) !== 0 && isWithin(host, [entry]);
  return host === entry || host.endsWith(entry.startsWith(".") ? entry : `.${entry}`);
}

function exception(entry: string): Exception {
  const network = parseNetwork(entry);
  if (network !== undefined) return { host: network, port: undefined };
  const [, host = "", port] = /^(.*?)(?::(\d+))?$/.exec(entry) ?? [];
  const name = host.replace(/^\*(?=\.)/, "").replace(/^\[(.*)\]$/, "$1");
  return { host: name === "*" ? undefined : (parseNetwork(name) ?? name.toLowerCase()), port };
}

function proxyUrl(variable: string, text: string | undefined): string | undefined {
  if (text === undefined || text === "") return undefined;
  const url = URL.parse(text.includes("://") ? text : `http://${text}`);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw new Error(`${variable} is not the URL of an HTTP proxy`);
  }
  return url.href;
}
