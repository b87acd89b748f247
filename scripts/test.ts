import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { s3Credentials, type S3Server, startS3Server } from "../test/harness/s3-server.ts";
import { postgresPrograms } from "../test/harness/postgres-database.ts";
import { startPostgres } from "../test/harness/postgres.ts";
import { findProgram } from "../test/harness/tools.ts";

/**
 * Runs the suites one after the other and sums them up: `npm test`, or `npm test -- NAME…` for some.
 * With BERTH_TEST_REQUIRE=all (CI) what is missing on the machine fails, and the black-box suites run a second time
 * against the single executable.
 */
interface Suite {
  name: string;
  paths: string[];
  executable?: boolean;
  /** Blobs on an S3 server. */
  s3?: boolean;
  /** Metadata in PostgreSQL. */
  postgres?: boolean;
}

const blackBox = ["test/registry", "test/server"];
const suites: readonly Suite[] = [
  { name: "unit", paths: ["src", "scripts"] },
  { name: "server", paths: ["test/server"] },
  { name: "cli", paths: ["test/cli"] },
  { name: "registry", paths: ["test/registry"] },
  { name: "security", paths: ["test/security"] },
  { name: "docs", paths: ["test/docs"] },
  { name: "stores", paths: ["test/stores"] },
  { name: "s3", paths: ["test/registry", "test/conformance"], s3: true },
  {
    name: "postgres",
    paths: ["test/registry", "test/server", "test/cli", "test/security", "test/conformance"],
    postgres: true,
  },
  { name: "faults", paths: ["test/faults"] },
  { name: "clients", paths: ["test/clients"] },
  { name: "conformance", paths: ["test/conformance"] },
  { name: "bench", paths: ["bench"] },
  { name: "executable", paths: [...blackBox, "test/conformance"], executable: true },
];

interface Sums {
  passed: number;
  failed: number;
  skipped: number;
}

const root = join(import.meta.dir, "..");
const required = process.env.BERTH_TEST_REQUIRE === "all";
const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !suites.some((suite) => suite.name === name));
if (unknown.length > 0) {
  console.error(`there is no suite ${unknown.join(", ")}; there are ${suites.map(({ name }) => name).join(", ")}`);
  process.exit(2);
}

/** The single executable takes a minute to make and test: in CI, or when it is asked for. */
function isWanted({ name, executable }: Suite): boolean {
  return wanted.length > 0 ? wanted.includes(name) : executable !== true || required;
}

async function runSuite({ name, paths, executable, s3, postgres }: Suite): Promise<Sums> {
  console.log(`\n== ${name}`);
  if (executable === true) {
    const built = Bun.spawnSync([process.execPath, "scripts/build.ts"], {
      cwd: root,
      stdio: ["ignore", "inherit", "inherit"],
    });
    if (!built.success) return { passed: 0, failed: 1, skipped: 0 };
  }
  if (s3 === true && findProgram("versitygw") === null) return { passed: 0, failed: required ? 1 : 0, skipped: 1 };
  if (postgres === true && postgresPrograms() === null) return { passed: 0, failed: required ? 1 : 0, skipped: 1 };
  const database = postgres === true ? await startPostgres() : undefined;
  const server = s3 === true ? await startS3Server() : undefined;
  const scratch = mkdtempSync(join(tmpdir(), "berth-junit-"));
  const report = join(scratch, "junit.xml");
  const files = paths.filter((path) => existsSync(join(root, path))).map((path) => `./${path}`);
  const child = Bun.spawn(
    [process.execPath, "test", "--timeout=180000", "--reporter=junit", `--reporter-outfile=${report}`, ...files],
    {
      cwd: root,
      stdio: ["ignore", "inherit", "inherit"],
      env: {
        ...process.env,
        ...(executable === true ? { BERTH_EXECUTABLE: join(root, "dist/berth") } : {}),
        ...(database === undefined ? {} : { BERTH_TEST_POSTGRES: database.url }),
        ...(server === undefined ? {} : { BERTH_STORES: await storesOn(server, scratch) }),
      },
    },
  );
  const code = await child.exited;
  await server?.stop();
  await database?.stop();
  const sums = existsSync(report) ? readSums(readFileSync(report, "utf8")) : { passed: 0, failed: 0, skipped: 0 };
  rmSync(scratch, { recursive: true, force: true });
  // A file that could not even be loaded stands in no report.
  if (code !== 0 && sums.failed === 0) sums.failed = 1;
  return sums;
}

/** The setting under which every server of the suite keeps its blobs on an S3 server. */
async function storesOn({ url }: S3Server, scratch: string): Promise<string> {
  const secretFile = join(scratch, "secret");
  await Bun.write(secretFile, s3Credentials.secretAccessKey);
  const { accessKeyId } = s3Credentials;
  const store = { driver: "s3", bucket: "berth", endpoint: url, "path-style": true, "access-key-id": accessKeyId };
  return JSON.stringify({ default: { ...store, "secret-access-key-file": secretFile } });
}

function readSums(report: string): Sums {
  const head = /<testsuites [^>]*>/.exec(report)?.[0] ?? "";
  const number = (name: string): number => Number(new RegExp(`\\b${name}="(\\d+)"`).exec(head)?.[1] ?? 0);
  const failed = number("failures") + number("errors");
  const skipped = number("skipped");
  return { passed: number("tests") - failed - skipped, failed, skipped };
}

const total: Sums = { passed: 0, failed: 0, skipped: 0 };
for (const suite of suites.filter(isWanted)) {
  const begun = performance.now();
  const sums = await runSuite(suite);
  const seconds = ((performance.now() - begun) / 1000).toFixed(0);
  console.log(
    `-- ${suite.name}: ${sums.passed} passed, ${sums.failed} failed, ${sums.skipped} skipped in ${seconds} s`,
  );
  total.passed += sums.passed;
  total.failed += sums.failed;
  total.skipped += sums.skipped;
}
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exit(total.failed === 0 ? 0 : 1);
