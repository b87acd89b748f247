import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import manifest from "../../package.json" with { type: "json" };
import { berthCommand } from "../harness/berth.ts";
import { attempt, type Outcome, run } from "../harness/tools.ts";

const berth = (...args: string[]): Promise<Outcome> => attempt([...berthCommand(), ...args]);
const commands =
  "serve gcloud-env gcloud-proxy version project service-account key iam role user group notifications audit token admin".split(
    " ",
  );

describe("understood: on standard output, exit code 0", () => {
  const version = manifest.version.replaceAll(".", "\\.");
  const rows: [string[], RegExp][] = [
    [["version"], new RegExp(`^berth ${version} \\(Bun 1\\.4\\.\\d+\\)\n$`)],
    [["--version"], /^berth \d+\.\d+\.\d+ \(Bun 1\.4\.\d+\)\n$/],
    ...([[], ["help"], ["--help"], ["-h"]] as string[][]).map((args): [string[], RegExp] => [args, /^berth COMMAND/]),
    [["help", "serve"], /^berth serve \[OPTION…\][^]*--listen[^]*BERTH_LISTEN, listen/],
    [["serve", "--help"], /^berth serve \[OPTION…\]/],
    [["serve", "--data", "/nowhere/at/all", "-h"], /^berth serve \[OPTION…\]/],
    [["help", "gcloud-env"], /^berth gcloud-env [^]*--server[^]*--ca/],
    [["help", "version"], /^berth version\n$/],
  ];
  test.each(rows)("berth %j", async (args, pattern) => {
    const { code, stdout, output } = await berth(...args);
    expect({ code, stderr: output.slice(stdout.length) }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(pattern);
  });

  test("berth help lists every command with its summary", async () => {
    const { stdout } = await berth("help");
    const listed = [...stdout.matchAll(/^ {2}(\S+) {2,}\S.*$/gm)].map((match) => match[1] as string);
    expect(listed.sort()).toEqual(commands.sort());
  });
});

describe("not understood: on standard error, one line without a stack, exit code 2", () => {
  const rows: [string[], RegExp][] = [
    [["nonsense"], /there is no command nonsense/],
    [["help", "nonsense"], /there is no command nonsense/],
    [["--data", "x"], /there is no command --data/],
    [["serve", "--nonsense"], /has no option --nonsense; `berth help serve`/],
    [["serve", "extra"], /has no option extra/],
    [["serve", "--listen"], /--listen needs a value/],
    [["serve", "--workers", "many"], /^berth: --workers: expected a whole number from 1 to 64$/],
    [["serve", "--workers", "1", "--workers=2"], /^berth: --workers is given twice$/],
    [["gcloud-env", "--nonsense", "x"], /has no option --nonsense/],
    [["gcloud-env", "--server"], /--server needs a value/],
    [["gcloud-env", "--server", "localhost:5000"], /--server: expected http/],
    [["gcloud-env", "--server", "http://x/'; rm -rf /"], /--server: expected http/],
    [["version", "extra"], /extra/],
  ];
  test.each(rows)("berth %j", async (args, pattern) => {
    const { code, stdout, output } = await berth(...args);
    expect({ code, stdout, lines: output.split("\n").length }).toEqual({ code: 2, stdout: "", lines: 2 });
    expect(output.trimEnd()).toMatch(pattern);
    expect(output).toStartWith("berth: ");
  });
});

describe("berth gcloud-env", () => {
  /** What a shell has after it evaluated the output. */
  async function settingsOf(...args: string[]): Promise<Map<string, string>> {
    const script = 'eval "$("$@")" && env -0';
    const theirs = { CURL_CA_BUNDLE: "/theirs", REQUESTS_CA_BUNDLE: "/theirs" };
    const env = { ...theirs, CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE: undefined };
    const text = await run(["sh", "-c", script, "sh", ...berthCommand(), "gcloud-env", ...args], { env });
    const entries = text
      .split("\0")
      .map((line) => [line.split("=", 1)[0] as string, line.slice(line.indexOf("=") + 1)]);
    return new Map(entries as [string, string][]);
  }

  const overrides = (settings: Map<string, string>): string[] =>
    [...settings].filter(([name]) => name.startsWith("CLOUDSDK_API_ENDPOINT_OVERRIDES_")).map(([, value]) => value);

  test("points every API and the token exchange at the server", async () => {
    const settings = await settingsOf();
    expect(settings.get("CLOUDSDK_CORE_PROJECT")).toBe("my-project");
    expect(settings.get("CLOUDSDK_AUTH_TOKEN_HOST")).toBe("http://localhost:5000/token");
    expect(new Set(overrides(settings))).toEqual(new Set(["http://localhost:5000/"]));
    for (const api of ["STORAGE", "CONTAINERANALYSIS", "IAM", "CLOUDRESOURCEMANAGER", "BINARYAUTHORIZATION", "STS"]) {
      expect(settings.has(`CLOUDSDK_API_ENDPOINT_OVERRIDES_${api}`)).toBe(true);
    }
    expect(settings.has("CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE")).toBe(false);
    expect(settings.get("CURL_CA_BUNDLE")).toBe("/theirs");
  });

  test("takes another server, project and authority, and clears what would count before that", async () => {
    const ca = "it's a/ca $(id).crt";
    const args = ["--server", "https://registry.corp.example:8443", "--project", "other-project", "--ca", ca];
    const settings = await settingsOf(...args);
    expect(settings.get("CLOUDSDK_CORE_PROJECT")).toBe("other-project");
    expect(settings.get("CLOUDSDK_AUTH_TOKEN_HOST")).toBe("https://registry.corp.example:8443/token");
    expect(new Set(overrides(settings))).toEqual(new Set(["https://registry.corp.example:8443/"]));
    expect(settings.get("CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE")).toBe(join(process.cwd(), ca));
    expect(settings.has("CURL_CA_BUNDLE") || settings.has("REQUESTS_CA_BUNDLE")).toBe(false);
  });
});
