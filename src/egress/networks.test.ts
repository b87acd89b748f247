import { expect, test } from "bun:test";
import fc from "fast-check";
import { isWithin, parseNetwork, specialRange, type Network } from "./networks.ts";

test("what is not on the public internet", () => {
  for (const [address, range] of [
    ["0.0.0.0", "unspecified"],
    ["0.1.2.3", "unspecified"],
    ["10.0.0.1", "private"],
    ["100.64.0.1", "carrierGradeNat"],
    ["100.100.100.200", "carrierGradeNat"],
    ["127.0.0.1", "loopback"],
    ["127.255.255.254", "loopback"],
    ["168.63.129.16", "reserved"],
    ["169.254.169.254", "linkLocal"],
    ["172.16.0.1", "private"],
    ["172.31.255.255", "private"],
    ["192.0.0.192", "reserved"],
    ["192.0.2.1", "reserved"],
    ["192.88.99.1", "reserved"],
    ["192.168.1.1", "private"],
    ["198.18.0.1", "reserved"],
    ["198.19.255.255", "reserved"],
    ["198.51.100.1", "reserved"],
    ["203.0.113.1", "reserved"],
    ["224.0.0.1", "multicast"],
    ["239.255.255.255", "multicast"],
    ["240.0.0.1", "reserved"],
    ["255.255.255.255", "broadcast"],
    ["::", "unspecified"],
    ["::1", "loopback"],
    ["::127.0.0.1", "reserved"],
    ["::ffff:0:127.0.0.1", "rfc6145"],
    ["64:ff9b:1::a00:1", "rfc6052"],
    ["100::1", "discard"],
    ["2001::1", "teredo"],
    ["2001:2::1", "benchmarking"],
    ["2001:db8::1", "reserved"],
    ["2002:808:808::1", "6to4"],
    ["3fff::1", "reserved"],
    ["4000::1", "reserved"],
    ["5f00::1", "segmentRouting"],
    ["fc00::1", "uniqueLocal"],
    ["fd00:ec2::254", "uniqueLocal"],
    ["fe80::1", "linkLocal"],
    ["fe80::1%eth0", "linkLocal"],
    ["fec0::1", "deprecatedSiteLocal"],
    ["ff02::1", "multicast"],
  ] as const) {
    expect([address, specialRange(address)]).toEqual([address, range]);
  }
});

test("what is", () => {
  for (const address of [
    "1.1.1.1",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "172.15.255.255",
    "172.32.0.0",
    "192.167.255.255",
    "198.17.255.255",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2a00:1450:4001::200e",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
  ]) {
    expect([address, specialRange(address)]).toEqual([address, undefined]);
  }
});

test("IPv4 within IPv6 is judged by what it holds", () => {
  fc.assert(
    fc.property(fc.ipV4(), (address) => {
      const range = specialRange(address);
      expect(specialRange(`::ffff:${address}`)).toBe(range);
      expect(specialRange(`64:ff9b::${address}`)).toBe(range);
    }),
  );
});

test("networks hold addresses in all their forms", () => {
  const networks = ["10.0.0.0/8", "192.168.7.7", "fd00::/8"].map((text) => parseNetwork(text) as Network);
  for (const inside of ["10.1.2.3", "192.168.7.7", "fd12::1", "::ffff:10.9.9.9", "::ffff:c0a8:707"]) {
    expect([inside, isWithin(inside, networks)]).toEqual([inside, true]);
  }
  for (const outside of ["11.0.0.1", "192.168.7.8", "fe80::1", "::ffff:11.0.0.1", "::10.0.0.1"]) {
    expect([outside, isWithin(outside, networks)]).toEqual([outside, false]);
  }
});

test("a network is written in full", () => {
  for (const text of [
    "",
    "10",
    "10/8",
    "10.1",
    "10.0.0.0/",
    "10.0.0.0/33",
    "10.0.0.0/-1",
    "10.0.0.0/8/8",
    "10.0.0.0/255.0.0.0",
    "::1/129",
    "fe80::1%eth0",
    "[::1]",
    "010.0.0.1",
    "0x7f000001",
    "example.com",
    "10.0.0.0/ 8",
  ]) {
    expect([text, parseNetwork(text)]).toEqual([text, undefined]);
  }
});
