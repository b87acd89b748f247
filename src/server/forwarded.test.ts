import { expect, test } from "bun:test";
import fc from "fast-check";
import { Forwarding } from "./forwarded.ts";

const direct = { scheme: "http", host: "localhost:5000", clientAddress: "10.0.0.1" };
const headers = (entries: Record<string, string>): Headers => new Headers(entries);
const all = { "x-forwarded-proto": "https", "x-forwarded-host": "reg.example", "x-forwarded-for": "192.0.2.7" };

test("from a configured proxy the headers count", () => {
  const seen = new Forwarding(["10.0.0.0/8"]).originOf(headers(all), direct);
  expect(seen).toEqual({ scheme: "https", host: "reg.example", clientAddress: "192.0.2.7" });
});

test("from anyone else they do not (CVE-2026-20896)", () => {
  for (const proxies of [[], ["10.0.0.2"], ["192.168.0.0/16"], ["::1"]]) {
    expect(new Forwarding(proxies).originOf(headers(all), direct)).toEqual(direct);
  }
});

test("an IPv4 address in IPv6 clothes is the same address", () => {
  const mapped = { ...direct, clientAddress: "::ffff:10.0.0.1" };
  expect(new Forwarding(["10.0.0.1"]).originOf(headers(all), mapped).scheme).toBe("https");
});

test("the client is the last address that no proxy of ours added", () => {
  const forwarding = new Forwarding(["10.0.0.0/8"]);
  const from = (list: string): string =>
    forwarding.originOf(headers({ "x-forwarded-for": list }), direct).clientAddress;
  expect(from("6.6.6.6, 192.0.2.7, 10.0.0.9")).toBe("192.0.2.7");
  expect(from("6.6.6.6, garbage")).toBe("10.0.0.1");
  expect(from("10.0.0.3")).toBe("10.0.0.1");
});

test("a host or scheme that is none is ignored", () => {
  const forwarding = new Forwarding(["10.0.0.1"]);
  fc.assert(
    fc.property(fc.string({ unit: "grapheme-ascii" }), (text) => {
      const given = headers({ "x-forwarded-host": text, "x-forwarded-proto": text });
      const seen = forwarding.originOf(given, direct);
      expect(["http", "https"]).toContain(seen.scheme);
      expect(seen.host).toMatch(/^[A-Za-z0-9.:[\]-]+$/);
    }),
  );
});
