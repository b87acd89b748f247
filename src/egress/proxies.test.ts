import { expect, test } from "bun:test";
import { Proxies, proxyFromEnvironment } from "./proxies.ts";
import { egressUrl } from "./url.ts";

const through = (except: string, url: string): boolean =>
  new Proxies({ https: "http://proxy:3128", http: "proxy", except }).proxyFor(egressUrl(url)) !== undefined;

test("each scheme has a proxy of its own", () => {
  const proxies = new Proxies({ https: "https://u:p@one:1", http: "two:2" });
  expect(proxies.proxyFor(new URL("https://a.example"))).toBe("https://u:p@one:1/");
  expect(proxies.proxyFor(new URL("http://a.example"))).toBe("http://two:2/");
  expect(new Proxies({ https: "", http: undefined }).proxyFor(new URL("https://a.example"))).toBeUndefined();
});

test("NO_PROXY", () => {
  const table: [except: string, url: string, proxied: boolean][] = [
    ["", "https://a.example", true],
    ["*", "https://a.example", false],
    ["a.example", "https://a.example", false],
    ["A.Example", "https://a.example.", false],
    ["a.example", "https://b.a.example", false],
    ["a.example", "https://ba.example", true],
    [".a.example", "https://b.a.example", false],
    [".a.example", "https://a.example", true],
    ["*.a.example", "https://b.a.example", false],
    ["x, a.example,,y", "https://a.example", false],
    ["x a.example", "https://a.example", false],
    ["a.example:443", "https://a.example", false],
    ["a.example:443", "https://a.example:444", true],
    ["a.example:80", "http://a.example", false],
    ["10.0.0.0/8", "https://10.1.2.3", false],
    ["10.0.0.0/8", "https://0x0a010203", false],
    ["10.0.0.0/8", "https://11.1.2.3", true],
    ["10.1.2.3:443", "https://10.1.2.3", false],
    ["10.1.2.3:443", "https://10.1.2.3:1", true],
    ["fd00::/8", "https://[fd00::1]", false],
    ["fd00::1", "https://[fd00::1]", false],
    ["[fd00::1]:443", "https://[fd00::1]", false],
    ["[fd00::1]:443", "https://[fd00::1]:1", true],
  ];
  for (const [except, url, proxied] of table)
    expect([except, url, through(except, url)]).toEqual([except, url, proxied]);
});

test("this machine's loopback is not the proxy's", () => {
  for (const host of ["localhost", "LOCALHOST.", "127.0.0.1", "127.9.9.9", "[::1]", "[::ffff:127.0.0.1]"]) {
    expect([host, through("", `https://${host}/`)]).toEqual([host, false]);
  }
});

test("the environment: capitals first", () => {
  const settings = proxyFromEnvironment({ HTTPS_PROXY: "a", https_proxy: "b", http_proxy: "c", no_proxy: "d" });
  expect(settings).toEqual({ https: "a", http: "c", except: "d" });
});

test("what is no HTTP proxy is refused without showing it", () => {
  for (const https of ["socks5://u:secret@proxy:1", "http://u:secret@proxy:x", "u:secret@pro xy"]) {
    expect(() => new Proxies({ https })).toThrow(/^HTTPS_PROXY is not the URL of an HTTP proxy$/);
  }
});
