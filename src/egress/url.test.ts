import { expect, test } from "bun:test";
import fc from "fast-check";
import { AllowList } from "./allow-list.ts";
import { destinationOf } from "./destination.ts";
import { EgressError } from "./egress-error.ts";
import { Proxies } from "./proxies.ts";
import { failure } from "./servers.suite.ts";
import { egressUrl, hostOf } from "./url.ts";

test("one form for all that mean the same", () => {
  const table: [given: string, url: string, host: string][] = [
    ["https://Reg.Example./v2/#part", "https://reg.example/v2/", "reg.example"],
    ["https://reg.example.:444/?q=1", "https://reg.example:444/?q=1", "reg.example"],
    ["https://127.0.0.1./", "https://127.0.0.1/", "127.0.0.1"],
    ["https://2130706433/", "https://127.0.0.1/", "127.0.0.1"],
    ["https://[::FFFF:127.0.0.1]/", "https://[::ffff:7f00:1]/", "::ffff:7f00:1"],
    ["https://ⓛocalhost./", "https://localhost/", "localhost"],
  ];
  for (const [given, url, host] of table) {
    const parsed = egressUrl(given);
    expect([parsed.href, hostOf(parsed)]).toEqual([url, host]);
  }
});

test("what cannot be opened, told without credentials", () => {
  for (const given of [
    "",
    "reg.example",
    "//reg.example/",
    "https://",
    "https://a b/",
    "https://./",
    "https://../",
    "https://a../",
    "ftp://reg.example/",
    "file:///etc/passwd",
    "data:,x",
    "unix:/run/x",
    "s3://bucket/key",
    "blob:https://a/1",
    "https://secret@reg.example/",
    "https://:secret@reg.example/",
    "https://a:secret@reg.example/",
    "https://1.2.3.4.5/",
    "https://[fe80::1%25eth0]/",
    "https://a%00b/",
    "https://xn--/",
    "javascript:1",
  ]) {
    const error = (() => {
      try {
        return egressUrl(given);
      } catch (thrown) {
        return thrown;
      }
    })() as EgressError;
    expect([given, error.constructor, error.kind]).toEqual([given, EgressError, "url"]);
    expect(error.message).not.toContain("secret");
  }
});

/** A private address as its 32 bits. */
const privateAddress = fc
  .constantFrom<[number, number]>(
    [0x00000000, 8],
    [0x0a000000, 8],
    [0x64400000, 10],
    [0x7f000000, 8],
    [0xa9fe0000, 16],
    [0xac100000, 12],
    [0xc0a80000, 16],
    [0xe0000000, 4],
    [0xf0000000, 4],
  )
  .chain(([network, bits]) => fc.nat(2 ** (32 - bits) - 1).map((host) => network + host));

/** One of the ways in which C libraries and URL parsers let an IPv4 address be written. */
const textOf = (address: number): fc.Arbitrary<string> => {
  const part = (value: number): fc.Arbitrary<string> =>
    fc.constantFrom(
      String(value),
      `0x${value.toString(16)}`,
      `0X${value.toString(16).toUpperCase()}`,
      `0x000${value.toString(16)}`,
      `0${value.toString(8)}`,
      `000${value.toString(8)}`,
    );
  const bytes = [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256);
  const dotted = fc.nat(3).chain((leading) => {
    const rest = address % 2 ** (32 - 8 * leading);
    return fc.tuple(...[...bytes.slice(0, leading), rest].map(part)).map((parts) => parts.join("."));
  });
  const decimal = bytes.join(".");
  const groups = [address / 2 ** 16, address].map((half) => (Math.floor(half) % 2 ** 16).toString(16)) as [
    string,
    string,
  ];
  const inner = fc.constantFrom(decimal, groups.join(":"));
  const version6 = fc
    .tuple(
      fc.constantFrom("::ffff:", "0:0:0:0:0:ffff:", "::FFFF:", "::", "64:ff9b::", "64:ff9b:1::", "::ffff:0:"),
      inner,
    )
    .map(([prefix, text]) => `[${prefix}${text}]`);
  const tunnelled = fc.constantFrom(`[2002:${groups.join(":")}::1]`, `[2001:0:${groups.join(":")}::]`);
  const decorated = dotted.chain((text) =>
    fc.constantFrom(
      text,
      `${text}.`,
      text.replaceAll(/\d/g, (digit) => String.fromCodePoint(0xff10 + Number(digit))),
      text.replaceAll(".", "。"),
      text.replace(/^./, (first) => `%${first.charCodeAt(0).toString(16)}`),
    ),
  );
  return fc.oneof(decorated, version6, tunnelled);
};

test("every textual form of an address that is not public is refused, unasked", async () => {
  const rules = {
    allow: new AllowList([]),
    proxies: new Proxies({ https: "http://proxy.example" }),
    resolve: () => Promise.reject(new Error("was asked")),
  };
  const forms = privateAddress.chain(textOf);
  const property = fc.asyncProperty(forms, fc.constantFrom("https", "http"), async (text, scheme) => {
    const error = await failure(
      destinationOf(egressUrl(`${scheme}://${text}:8443/x`), rules, new AbortController().signal),
    );
    expect([text, (error as EgressError).kind]).toEqual([text, "address"]);
  });
  await fc.assert(property, { numRuns: 2000 });
});
