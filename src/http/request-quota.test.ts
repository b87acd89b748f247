import { expect, test } from "bun:test";
import { quotaWindow, RequestQuota } from "./request-quota.ts";

test("the request after the last that is free has to wait for the window's end", () => {
  let now = 5000;
  const quota = new RequestQuota(3, () => now);
  expect([1, 2, 3].map(() => quota.take("192.0.2.1"))).toEqual([0, 0, 0]);
  now += 60_000;
  expect(quota.take("192.0.2.1")).toBe(quotaWindow / 1000 - 60);
  expect(quota.take("192.0.2.2")).toBe(0);
  now = 5000 + quotaWindow;
  expect(quota.take("192.0.2.1")).toBe(0);
});

test("the addresses of one /64 are one client, and so are IPv4 and its form in IPv6", () => {
  const quota = new RequestQuota(1, () => 0);
  expect(quota.take("2001:db8::1")).toBe(0);
  expect(quota.take("2001:db8::2")).toBeGreaterThan(0);
  expect(quota.take("2001:db8:0:1::2")).toBe(0);
  expect(quota.take("192.0.2.7")).toBe(0);
  expect(quota.take("::ffff:192.0.2.7")).toBeGreaterThan(0);
});

test.each(["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", ""])("%p is not counted", (address) => {
  const quota = new RequestQuota(1, () => 0);
  expect([1, 2, 3].map(() => quota.take(address))).toEqual([0, 0, 0]);
});

test("0 counts nobody", () => {
  const quota = new RequestQuota(0, () => 0);
  expect([1, 2].map(() => quota.take("192.0.2.1"))).toEqual([0, 0]);
});

test("what other processes have taken counts too, once", () => {
  const here = new RequestQuota(3, () => 0);
  const there = new RequestQuota(3, () => 0);
  here.take("192.0.2.1");
  here.take("192.0.2.1");
  there.take("192.0.2.1");
  there.hear(here.takeNews());
  expect([here.takeNews(), there.takeNews()]).toEqual([[], [["192.0.2.1", 1]]]);
  expect(there.take("192.0.2.1")).toBeGreaterThan(0);
});
