import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import { flagOf, type Option, variableOf } from "./option.ts";
import { optionList, options, type Settings } from "./options.ts";
import { loadSettings, SettingsError } from "./settings.ts";
import { parseListen } from "./listen-address.ts";

/** A value as it is written, and what it means. */
type Written<T> = [written: unknown, means: T];

/** What is written where for one option; the compiler asks for a row for each option that is added. */
interface Sample<T> {
  flag: Written<T>;
  variable: Written<T>;
  file: Written<T>;
  /** Not to be taken from a flag or a variable. */
  wrongTexts: string[];
  /** Not to be taken from the file. */
  wrongValues: unknown[];
  /** Flags that the value needs beside it. */
  beside?: [string, string][];
}

const provider = {
  name: "a",
  issuer: "https://id.test",
  "client-id": "c",
  scope: "openid email profile",
  "groups-claim": "groups",
  "email-domains": [],
};
const numbers = { wrongTexts: ["", "-1", "1.5", "0x10", "1e3", " 7", "7s"], wrongValues: ["7", 1.5, null, true, []] };
const truths = { wrongTexts: ["yes", "1", "TRUE", "on"], wrongValues: ["true", 1, null, []] };
const sizes = { wrongTexts: ["", "-1", "1.5MiB", "4MB", "4m", "many"], wrongValues: [1.5, null, true, [4096], "4 k"] };
const words = { wrongTexts: [""], wrongValues: [7, true, null, ["a"], ""] };
const insecure: [string, string][] = [["--insecure-http", "true"]];

const samples: { [K in keyof Settings]: Sample<Settings[K]> } = {
  listen: {
    flag: ["127.0.0.1:1", "127.0.0.1:1"],
    variable: ["[::1]:2", "[::1]:2"],
    file: [":3", ":3"],
    beside: insecure,
    wrongTexts: ["", "localhost", "5000", "localhost:", "localhost:http", "localhost:65536", "::1:5000", "a:1:2"],
    wrongValues: [5000, null, ["localhost:5000"], "localhost"],
  },
  data: { flag: ["/a", "/a"], variable: ["b", "b"], file: ["./c", "./c"], ...words },
  publicName: { flag: ["a.test", "a.test"], variable: ["b.test:1", "b.test:1"], file: ["c.test", "c.test"], ...words },
  tls: {
    flag: ["off", "off"],
    variable: ["self-signed", "self-signed"],
    file: ["off", "off"],
    wrongTexts: ["", "on", "true", "Off", "self_signed"],
    wrongValues: [false, true, null, "letsencrypt"],
  },
  tlsCert: { flag: ["a", "a"], variable: ["b", "b"], file: ["c", "c"], beside: [["--tls-key", "k"]], ...words },
  tlsKey: { flag: ["a", "a"], variable: ["b", "b"], file: ["c", "c"], beside: [["--tls-cert", "c"]], ...words },
  insecureHttp: { flag: ["false", false], variable: ["true", true], file: [true, true], ...truths },
  trustedProxies: {
    flag: ["10.0.0.1, 10.1.0.0/16", ["10.0.0.1", "10.1.0.0/16"]],
    variable: ["fd00::/8", ["fd00::/8"]],
    file: [
      ["192.0.2.1", "192.0.2.0/24"],
      ["192.0.2.1", "192.0.2.0/24"],
    ],
    wrongTexts: ["proxy.test", "10.0.0.0/33", "10.0.0.256", "10.0.0.1 10.0.0.2"],
    wrongValues: [10, true, null, { a: 1 }, ["10.0.0.1", 7]],
  },
  workers: { flag: ["2", 2], variable: ["64", 64], file: [1, 1], ...numbers },
  hosts: {
    flag: ["[a.test]", [{ name: "a.test", store: "default" }]],
    variable: ["[{name: b.test}]", [{ name: "b.test", store: "default" }]],
    file: [
      ["c.test", { name: "d.test", store: "default" }],
      [
        { name: "c.test", store: "default" },
        { name: "d.test", store: "default" },
      ],
    ],
    wrongTexts: ["[a.test:5000]", "[A.test]", "[-a.test]", "[{name: a.test, stores: default}]", "[{store: default}]"],
    wrongValues: ["a.test", null, [7], [""], [{ name: "a.test", store: 7 }]],
  },
  stores: {
    flag: ["{a: {driver: filesystem}}", { a: { driver: "filesystem", transfer: "file" } }],
    variable: ["{b: {driver: filesystem, path: p}}", { b: { driver: "filesystem", path: "p", transfer: "file" } }],
    file: [{ c: { driver: "filesystem", transfer: "stream" } }, { c: { driver: "filesystem", transfer: "stream" } }],
    wrongTexts: [
      "{a: {driver: tape}}",
      "{a: {}}",
      "{A: {driver: filesystem}}",
      "a",
      "{a: {driver: s3}}",
      "{a: {driver: s3, bucket: b, path: p}}",
      "{a: {driver: s3, bucket: b, access-key-id: k}}",
      "{a: {driver: s3, bucket: b, endpoint: s3.test}}",
      "{a: {driver: s3, bucket: b, concurrency: 0}}",
      "{a: {driver: s3, bucket: b, timeout: 601}}",
    ],
    wrongValues: [[], null, { a: { driver: "filesystem", paths: "p" } }, { a: { driver: "filesystem", transfer: 1 } }],
  },
  protectReferenced: { flag: ["false", false], variable: ["true", true], file: [false, false], ...truths },
  allowMissingBlobs: { flag: ["true", true], variable: ["false", false], file: [true, true], ...truths },
  idleTimeout: { flag: ["5", 5], variable: ["255", 255], file: [61, 61], ...numbers },
  shutdownTimeout: { flag: ["1", 1], variable: ["3600", 3600], file: [31, 31], ...numbers },
  logLevel: {
    flag: ["debug", "debug"],
    variable: ["silent", "silent"],
    file: ["warn", "warn"],
    wrongTexts: ["", "verbose", "INFO"],
    wrongValues: [30, null, true, "trace"],
  },
  manifestSize: { flag: ["1KiB", 1024], variable: ["64 MiB", 2 ** 26], file: [5000, 5000], ...sizes },
  uploadSize: { flag: ["8TiB", 2 ** 43], variable: ["1024", 1024], file: ["3GiB", 3 * 2 ** 30], ...sizes },
  openUploads: { flag: ["1", 1], variable: ["1000000", 1e6], file: [7, 7], ...numbers },
  uploadExpiry: { flag: ["1", 1], variable: ["8760", 8760], file: [7, 7], ...numbers },
  requestQuota: { flag: ["0", 0], variable: ["1000000000", 1e9], file: [7, 7], ...numbers },
  signInProviders: {
    flag: ["[]", []],
    variable: ["[{name: a, issuer: 'https://id.test', client-id: c}]", [provider]],
    file: [[{ name: "a", issuer: "https://id.test", "client-id": "c" }], [provider]],
    wrongTexts: ["[{name: A, issuer: 'https://id.test', client-id: c}]", "[{name: a, issuer: id.test, client-id: c}]"],
    wrongValues: [
      null,
      "a",
      [{ name: "a" }],
      [{ name: "a", issuer: "https://id.test", "client-id": "c", secret: "s" }],
    ],
  },
  egressAllow: {
    flag: ["id.corp.test, 10.0.0.0/8", ["id.corp.test", "10.0.0.0/8"]],
    variable: ["*.corp.test", ["*.corp.test"]],
    file: [["127.0.0.1"], ["127.0.0.1"]],
    wrongTexts: ["10.0.0.0/33", "https://id.test"],
    wrongValues: [10, null, { a: 1 }, ["10.0.0.1", 7]],
  },
  pubsubEndpoint: {
    flag: ["http://a.test:1", "http://a.test:1"],
    variable: ["https://b.test", "https://b.test"],
    file: ["https://c.test/", "https://c.test/"],
    wrongTexts: ["", "a.test", "ftp://a.test", "https://u:p@a.test", "https://a.test?x"],
    wrongValues: [7, null, true, ["https://a.test"]],
  },
  egressCa: { flag: ["a", "a"], variable: ["b", "b"], file: ["c", "c"], ...words },
  shutdownDelay: { flag: ["0", 0], variable: ["3600", 3600], file: [5, 5], ...numbers },
  metadataUrl: {
    flag: ["postgres://a@b/c", "postgres://a@b/c"],
    variable: ["postgresql://b/c", "postgresql://b/c"],
    file: ["postgres://b:1/c?sslmode=verify-full", "postgres://b:1/c?sslmode=verify-full"],
    wrongTexts: ["", "b/c", "mysql://b/c", "postgres://a:secret@b/c", "postgres://b/c?password=secret"],
    wrongValues: [7, null, true, ["postgres://b/c"]],
  },
  metadataPasswordFile: { flag: ["a", "a"], variable: ["b", "b"], file: ["c", "c"], ...words },
  metadataConnections: { flag: ["2", 2], variable: ["1000", 1000], file: [7, 7], ...numbers },
  metadataPrepared: { flag: ["false", false], variable: ["true", true], file: [false, false], ...truths },
  auditRetention: { flag: ["1", 1], variable: ["36500", 36_500], file: [7, 7], ...numbers },
  cacheSize: { flag: ["1MiB", 2 ** 20], variable: ["64GiB", 2 ** 36], file: ["2MiB", 2 ** 21], ...sizes },
};

/** Just outside of what the option takes. */
const outside: Partial<Record<keyof Settings, (number | string)[]>> = {
  workers: [0, 65],
  idleTimeout: [4, 256],
  shutdownTimeout: [0, 3601],
  manifestSize: [1023, 2 ** 26 + 1],
  uploadSize: [1023, 2 ** 43 + 1],
  openUploads: [0, 1_000_001],
  uploadExpiry: [0, 8761],
  requestQuota: [-1, 1_000_000_001],
  auditRetention: [0, 36_501],
  cacheSize: [2 ** 20 - 1, 2 ** 36 + 1],
};

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "berth-settings-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

/** Writes `berth.yaml` with one setting, on its fourth line where the key has one level, else on its fifth. */
function writeConfig(key: string, value: unknown): { path: string; place: string } {
  const path = join(directory, `${crypto.randomUUID()}.yaml`);
  const levels = key.split(".");
  const document = levels.reduceRight<unknown>((inner, level) => ({ [level]: inner }), value);
  writeFileSync(path, `# one\n\n# three\n${stringify(document)}`);
  return { path, place: `${path}:${3 + levels.length}: ${key}` };
}

const rows = optionList.map(([name, option]) => [option.key, option, samples[name]] as const);

describe.each(rows)("%s", (key, option: Option<unknown>, sample: Sample<unknown>) => {
  const name = Object.entries(options).find(([, each]) => each === option)?.[0] as keyof Settings;
  const beside = sample.beside ?? [];
  const load = (flags: [string, string][], variables: Record<string, string>, path?: string): unknown => {
    const config = path === undefined ? [] : [["--config", path] as [string, string]];
    return loadSettings(new Map([...beside, ...config, ...flags]), variables)[name];
  };
  const flag = (written: unknown): [string, string][] => [[flagOf(option), String(written)]];
  const variable = (written: unknown): Record<string, string> => ({ [variableOf(option)]: String(written) });

  test("the flag counts before the variable, the variable before the file, the file before the default", () => {
    const { path } = writeConfig(key, sample.file[0]);
    expect(load(flag(sample.flag[0]), variable(sample.variable[0]), path)).toEqual(sample.flag[1]);
    expect(load([], variable(sample.variable[0]), path)).toEqual(sample.variable[1]);
    expect(load([], variable(""), path)).toEqual(sample.file[1]);
    expect(load([], { BERTH_CONFIG: path })).toEqual(sample.file[1]);
    if (beside.every(([each]) => !each.startsWith("--tls"))) expect(load([], {})).toEqual(option.default);
  });

  test("each alone is enough", () => {
    expect(load(flag(sample.variable[0]), {})).toEqual(sample.variable[1]);
    expect(load([], variable(sample.flag[0]))).toEqual(sample.flag[1]);
  });

  const limits = (outside[name] ?? []).map(String);
  test.each([...sample.wrongTexts, ...limits])("as text %j is refused, and its place named", (text) => {
    expect(() => load(flag(text), {})).toThrow(new RegExp(`^${flagOf(option)}: `));
    // An empty variable is one that is not set, as in a unit file that leaves it open.
    if (text !== "") expect(() => load([], variable(text))).toThrow(new RegExp(`^${variableOf(option)}: `));
  });

  test.each([...sample.wrongValues, ...(outside[name] ?? [])].map((value) => [JSON.stringify(value), value] as const))(
    "in the file %s is refused, and its key and line named",
    (_, value) => {
      const { path, place } = writeConfig(key, value);
      let thrown: unknown;
      try {
        load([], {}, path);
      } catch (error) {
        thrown = error;
      }
      expect(thrown).toBeInstanceOf(SettingsError);
      expect((thrown as Error).message).toStartWith(`${place}: `);
    },
  );
});

test("no two options share a flag, a variable or a key, and none has another's with a level below it", () => {
  const all = optionList.map(([, option]) => option);
  for (const names of [all.map(flagOf), all.map(variableOf), all.map(({ key }) => key)]) {
    expect(new Set(names).size).toBe(names.length);
  }
  for (const { key } of all) expect(all.filter((other) => other.key.startsWith(`${key}.`))).toEqual([]);
  expect(all.map(variableOf)).not.toContain("BERTH_CONFIG");
});

describe("what goes together", () => {
  const cert: [string, string][] = [["--tls-cert", "c"]];
  const key: [string, string][] = [["--tls-key", "k"]];
  const load = (...flags: [string, string][]): Settings => loadSettings(new Map(flags), {});

  test("a certificate and its key; both imply TLS from files", () => {
    expect(load(...cert, ...key).tls).toBe("files");
    expect(load(...cert, ...key, ["--tls", "files"]).tls).toBe("files");
    expect(() => load(...cert)).toThrow("go together");
    expect(() => load(...key)).toThrow("go together");
    expect(() => load(["--tls", "files"])).toThrow("tls.cert");
    expect(() => load(["--tls", "self-signed"], ...cert, ...key)).toThrow("choose one");
  });

  test("a host and its store", () => {
    const hosts: [string, string] = ["--hosts", "[{name: eu.test, store: eu}]"];
    expect(() => load(hosts)).toThrow(/eu\.test.*"eu"/);
    expect(load(hosts, ["--stores", "{eu: {driver: filesystem}}"]).hosts).toEqual([{ name: "eu.test", store: "eu" }]);
  });

  const loopback = ["127.0.0.1", "127.9.8.7", "localhost", "[::1]"];
  const others = ["0.0.0.0", "", "[::]", "192.0.2.1", "[2001:db8::1]", "registry.test", "127.0.0.1.test", "[::2]"];
  test.each(loopback)("plain HTTP on %j", (address) => {
    expect(load(["--listen", `${address}:5000`]).tls).toBe("off");
  });
  test.each(others)("no plain HTTP on %j, unless it is asked for", (address) => {
    const listen: [string, string] = ["--listen", `${address}:5000`];
    expect(() => load(listen)).toThrow(/--tls self-signed.*--insecure-http/);
    expect(() => load(listen, ["--insecure-http", "false"])).toThrow("plain HTTP");
    expect(load(listen, ["--insecure-http", "true"]).insecureHttp).toBe(true);
    expect(load(listen, ["--tls", "self-signed"]).tls).toBe("self-signed");
    expect(load(listen, ...cert, ...key).tls).toBe("files");
  });
});

describe("files that say nothing, or say it in other ways of YAML, are good", () => {
  const rows: [string, Partial<Settings>][] = [
    ["", {}],
    ["# nothing\n", {}],
    ["---\n", {}],
    ["{}", {}],
    ["\ufeffworkers: 2\n", { workers: 2 }],
    ["workers: 2\r\nlog:\r\n  level: warn\r\n", { workers: 2, logLevel: "warn" }],
    ['%YAML 1.2\n---\n"log": {level: &level warn} # quoted, flow, anchor\ntls: {mode: off}\n', { logLevel: "warn" }],
    ["data: &d a\npublic-name: *d\n", { data: "a", publicName: "a" }],
  ];
  test.each(rows)("%j", (content, expected) => {
    const path = join(directory, "good.yaml");
    writeFileSync(path, content);
    expect(loadSettings(new Map([["--config", path]]), {})).toEqual({ ...loadSettings(new Map(), {}), ...expected });
  });
});

test("an address and its port", () => {
  expect(parseListen("[::1]:0")).toEqual({ hostname: "::1", port: 0 });
  expect(parseListen(":65535")).toEqual({ hostname: "0.0.0.0", port: 65_535 });
  expect(parseListen("registry.test:5000")).toEqual({ hostname: "registry.test", port: 5000 });
});
