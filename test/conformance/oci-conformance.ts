import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Site, user } from "../harness/site.ts";
import { attempt } from "../harness/tools.ts";

/** Outcomes of tests, by the suite's own words. */
type Counts = Record<"passed" | "skipped" | "failure" | "error", number>;

/** The suite's own sums, in which a test that answers for two APIs counts twice. */
interface Totals {
  tests: number;
  failures: number;
  errors: number;
  skipped: number;
  disabled: number;
}

export interface ConformanceReport {
  /** Status of each API and of each kind of data, such as `Pass`. */
  apis: Record<string, string>;
  data: Record<string, string>;
  totals: Totals;
  /** Tests by the name of what they call, such as `blob-patch-chunked`. */
  byCall: Map<string, Counts>;
  /** Tests that did not pass, with what the suite says of each. */
  problems: string[];
  /** Switches of APIs and data that were off. */
  off: string[];
}

/** Everything that the suite can switch on; `OCI_VERSION=dev` leaves the last one off. */
const switches = {
  OCI_VERSION: "dev",
  OCI_API_PING: "true",
  OCI_API_PULL: "true",
  OCI_API_PUSH: "true",
  OCI_API_BLOBS_ATOMIC: "true",
  OCI_API_BLOBS_DELETE: "true",
  OCI_API_BLOBS_DIGEST_HEADER: "true",
  OCI_API_BLOBS_MOUNT_ANONYMOUS: "true",
  OCI_API_BLOBS_UPLOAD_CANCEL: "true",
  OCI_API_MANIFESTS_ATOMIC: "true",
  OCI_API_MANIFESTS_DELETE: "true",
  OCI_API_MANIFESTS_DIGEST_HEADER: "true",
  OCI_API_MANIFESTS_TAG_PARAM: "true",
  OCI_API_TAGS_ATOMIC: "true",
  OCI_API_TAGS_DELETE: "true",
  OCI_API_TAGS_LIST: "true",
  OCI_API_REFERRER: "true",
  OCI_DATA_SPARSE: "true",
};

/** Runs the OCI conformance suite against a registry. @param results directory for its reports */
export async function runConformance(site: Site, results: string): Promise<ConformanceReport> {
  const env = {
    ...switches,
    OCI_REGISTRY: site.host,
    OCI_TLS: site.ca === undefined ? "disabled" : "enabled",
    SSL_CERT_FILE: site.ca,
    OCI_REPO1: "my-project/conformance/repo1",
    OCI_REPO2: "my-project/conformance/repo2",
    OCI_USERNAME: user,
    OCI_PASSWORD: site.key,
    OCI_RESULTS_DIR: results,
  };
  // Its exit code says less than its reports.
  const { output } = await attempt(["conformance"], { env, cwd: results });
  const file = (name: string): string => {
    try {
      return readFileSync(join(results, name), "utf8");
    } catch {
      throw new Error(`the conformance suite wrote no ${name}:\n${output.slice(-4000)}`);
    }
  };
  const { config, apis, data } = Bun.YAML.parse(file("results.yaml")) as {
    config: { apis: Switches; data: Switches };
    apis: Record<string, string>;
    data: Record<string, string>;
  };
  const off = [...switchedOff(config.apis, "apis"), ...switchedOff(config.data, "data")];
  return { apis, data, off, ...readJunit(file("junit.xml")) };
}

interface Switches {
  [name: string]: boolean | Switches;
}

function switchedOff(switched: Switches, path: string): string[] {
  return Object.entries(switched).flatMap(([name, value]) => {
    if (typeof value === "object") return switchedOff(value, `${path}.${name}`);
    return value ? [] : [`${path}.${name}`];
  });
}

/** The suite's JUnit report, whose form is its own and fixed: one test suite, test cases without others in them. */
function readJunit(xml: string): Pick<ConformanceReport, "totals" | "byCall" | "problems"> {
  const head = /<testsuite [^>]*>/.exec(xml)?.[0] ?? "";
  const count = (attribute: keyof Totals): number => Number(new RegExp(` ${attribute}="(\\d+)"`).exec(head)?.[1] ?? 0);
  const totals: Totals = {
    tests: count("tests"),
    failures: count("failures"),
    errors: count("errors"),
    skipped: count("skipped"),
    disabled: count("disabled"),
  };
  const byCall = new Map<string, Counts>();
  const problems: string[] = [];
  for (const [, name = "", status, body = ""] of xml.matchAll(testCase)) {
    const outcome = status as keyof Counts;
    const call = name.split("/").at(-1) as string;
    const counts = byCall.get(call) ?? { passed: 0, skipped: 0, failure: 0, error: 0 };
    counts[outcome]++;
    byCall.set(call, counts);
    if (outcome !== "passed") problems.push(`${name}: ${status} ${/<system-out>([^<]*)/.exec(body)?.[1] ?? ""}`);
  }
  return { totals, byCall, problems };
}

const testCase = /<testcase name="([^"]*)"[^>]* status="([a-z]+)"[^>]*?(?:\/>|>(.*?)<\/testcase>)/gs;
