import { beforeEach, expect, test } from "bun:test";
import { failuresOfAddress, failuresOfName, longestLine, SignInThrottle } from "./sign-in-throttle.ts";

let now: number;
let throttle: SignInThrottle;

beforeEach(() => {
  now = 1_000_000;
  throttle = new SignInThrottle(() => now);
});

function fail(times: number, name = "ann@example.com", address = "192.0.2.1"): void {
  for (let i = 0; i < times; i++) throttle.failed(name, address);
}

test("a few failures cost nothing, then each doubles the wait, up to a quarter of an hour", () => {
  fail(failuresOfName - 1);
  expect(throttle.wait("ann@example.com", "192.0.2.1")).toBe(0);
  const waits = Array.from({ length: 12 }, () => {
    fail(1);
    return throttle.wait("ann@example.com", "192.0.2.1");
  });
  expect(waits).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
});

test("the wait ends", () => {
  fail(failuresOfName);
  now += 1000;
  expect(throttle.wait("ann@example.com", "192.0.2.1")).toBe(0);
});

test("the owner of the name is not slowed down elsewhere, nor another name at the same address", () => {
  fail(failuresOfName + 20);
  expect(throttle.wait("ann@example.com", "192.0.2.2")).toBe(0);
  expect(throttle.wait("ben@example.com", "192.0.2.1")).toBe(0);
});

test("an address that fails under many names has to wait under all", () => {
  for (let i = 0; i < failuresOfAddress; i++) throttle.failed(`user-${i}@example.com`, "192.0.2.1");
  expect(throttle.wait("new@example.com", "192.0.2.1")).toBe(1);
});

test("who succeeds begins anew, in every spelling of the name", () => {
  fail(failuresOfName + 5);
  throttle.succeeded("Ann@Example.com", "192.0.2.1");
  expect(throttle.wait("ann@example.com", "192.0.2.1")).toBe(0);
});

test("failures are forgotten after half an hour", () => {
  fail(failuresOfName - 1);
  now += 31 * 60_000;
  fail(1);
  expect(throttle.wait("ann@example.com", "192.0.2.1")).toBe(0);
});

test("many guesses at once are no more than one after the other", async () => {
  let looked = 0;
  const guesses = Array.from({ length: 60 }, (_, i) =>
    throttle.verify("ann@example.com", `2001:db8::${i + 1}`, async () => {
      looked++;
      await Promise.resolve();
      // The last one would be right.
      return i === 59;
    }),
  );
  const found = await Promise.all(guesses);
  expect(looked).toBe(failuresOfName);
  expect(found).not.toContain(true);
  expect(found.filter((each) => typeof each !== "boolean")).toHaveLength(60 - failuresOfName);
});

test("a line ends: who comes after it is looked at", async () => {
  const right = (): Promise<boolean> => Promise.resolve(true);
  const some = Array.from({ length: longestLine }, () => throttle.verify("ann@example.com", "192.0.2.1", right));
  expect(await throttle.verify("ann@example.com", "192.0.2.1", right)).toEqual({ retryAfter: 1 });
  expect(await throttle.verify("ann@example.com", "192.0.2.2", right)).toBe(true);
  expect(new Set(await Promise.all(some))).toEqual(new Set([true]));
  expect(await throttle.verify("ann@example.com", "192.0.2.1", right)).toBe(true);
});

test("a check that throws gives its turn on", async () => {
  const broken = throttle.verify("ann@example.com", "192.0.2.1", () => Promise.reject(new Error("broken")));
  await expect(broken).rejects.toThrow("broken");
  expect(await throttle.verify("ann@example.com", "192.0.2.1", () => Promise.resolve(true))).toBe(true);
});

test("who comes from where nobody else waits is looked at, however many wait elsewhere", async () => {
  const open = Promise.withResolvers<boolean>();
  const crowd = Array.from({ length: 220 }, (_, i) =>
    throttle.verify(`name-${i}`, `198.51.100.${i % 11}`, () => open.promise),
  );
  const own = throttle.verify("ann@example.com", "192.0.2.1", () => Promise.resolve(true));
  expect(await own).toBe(true);
  open.resolve(false);
  const sent = await Promise.all(crowd);
  // 200 wait at once; the last of the crowd went for the one who came alone.
  expect(sent.filter((outcome) => outcome === false).length).toBe(199);
});

test("the networks of one IPv6 site are slowed down together, once they have failed as four would", () => {
  for (let i = 0; i < 4 * failuresOfAddress; i++)
    throttle.failed(`user-${i}`, `2001:db8:1:${(i % 1000).toString(16)}::1`);
  expect(throttle.wait("new", "2001:db8:1:ffff::1")).toBe(1);
  expect(throttle.wait("new", "2001:db8:2::1")).toBe(0);
});
