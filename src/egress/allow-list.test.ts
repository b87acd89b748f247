import { expect, test } from "bun:test";
import { AllowList } from "./allow-list.ts";

test("names, suffixes, addresses and networks", () => {
  const list = new AllowList(["Registry.Corp.", "*.svc.cluster.local", "bücher.example", "10.0.0.0/8", "::1"]);
  const named = (host: string): boolean => list.admitsName(host);
  expect(["registry.corp", "a.svc.cluster.local", "a.b.svc.cluster.local", "xn--bcher-kva.example"].every(named)).toBe(
    true,
  );
  expect(["corp", "x.registry.corp", "svc.cluster.local", "evilsvc.cluster.local", "10.0.0.1"].some(named)).toBe(false);
  expect(list.admitsAddress("10.2.3.4")).toBe(true);
  expect(list.admitsAddress("::ffff:10.2.3.4")).toBe(true);
  expect(list.admitsAddress("::1")).toBe(true);
  expect(list.admitsAddress("127.0.0.1")).toBe(false);
});

test("an entry that is none is refused and named", () => {
  for (const entry of [
    "",
    "*",
    "*.",
    "*.*.corp",
    "https://corp",
    "corp:5000",
    "corp/8",
    "10.1",
    "10/8",
    "0x7f000001",
    "[::1]",
    "a b",
    "a..b",
    "user@corp",
    "10.0.0.0/33",
    "corp?",
    "*.10.0.0.1",
    "c%6frp",
  ]) {
    expect(() => new AllowList([entry])).toThrow(`"${entry}" is neither`);
  }
});
