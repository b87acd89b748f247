import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { s3Credentials, type S3Server, startS3Server } from "../test/harness/s3-server.ts";
import { postgresPrograms } from "../test/harness/postgres-database.ts";
import { startPostgres } from "../test/harness/postgres.ts";
import { findProgram } from "../test/harness/tools.ts";

/**
 * Runs the suites and sums them up: `npm test`, or `npm test -- NAME…` for some. One after the other, but for gcloud's,
 * which takes one core and runs beside those that do not look at the clock.
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
  /** Runs in the background, with its output at its end. */
  beside?: boolean;
  /** Looks at the clock, or at what the machine is doing: runs with nothing beside it. */
  alone?: boolean;
}

const root = join(import.meta.dir, "..");
const clients = readdirSync(join(root, "test/clients"))
  .filter((name) => name.endsWith(".test.ts"))
  .map((name) => `test/clients/${name}`);
const ofGcloud = (path: string): boolean => path.includes("/gcloud-");

/** What a server is like that shares everything with others: metadata in PostgreSQL, blobs on S3. */
const replicated = ["test/registry", "test/conformance"].concat(
  ["every-route", "revocation", "credential-chains", "reused-names", "takeover", "tag-overwrite"].map(
    (name) => `test/security/${name}.test.ts`,
  ),
  ["audit", "both-databases"].map((name) => `test/server/${name}.test.ts`),
);
const startsOfServer = ["first-start", "starting", "signals", "processes", "tls", "certificates", "shutdown"];
const suites: readonly Suite[] = [
  { name: "gcloud", paths: clients.filter(ofGcloud), beside: true },
  { name: "unit", paths: ["src", "scripts"] },
  { name: "cli", paths: ["test/cli"] },
  { name: "registry", paths: ["test/registry"] },
  { name: "security", paths: ["test/security"] },
  { name: "docs", paths: ["test/docs"] },
  { name: "stores", paths: ["test/stores"] },
  { name: "replicated", paths: replicated, s3: true, postgres: true },
  { name: "server", paths: ["test/server"], alone: true },
  { name: "faults", paths: ["test/faults"], alone: true },
  { name: "clients", paths: clients.filter((path) => !ofGcloud(path)), alone: true },
  { name: "conformance", paths: ["test/conformance"], alone: true },
  { name: "bench", paths: ["bench"], alone: true },
  {
    name: "executable",
    paths: ["test/registry", "test/conformance", ...startsOfServer.map((name) => `test/server/${name}.test.ts`)],
    executable: true,
    alone: true,
  },
];

interface Sums {
  passed: number;
  failed: number;
  skipped: number;
}

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

async function runSuite({ name, paths, executable, s3, postgres, beside }: Suite): Promise<Sums> {
  console.log(`\n== ${name}`);
  if (executable === true) {
    const built = Bun.spawnSync([process.execPath, "scripts/build.ts"], {
      cwd: root,
      stdio: ["ignore", "inherit", "inherit"],
    });
    if (!built.success) return { passed: 0, failed: 1, skipped: 0 };
  }
  const missing = [
    ...(s3 === true && findProgram("versitygw") === null ? ["versitygw"] : []),
    ...(postgres === true && postgresPrograms() === null ? ["postgres"] : []),
  ];
  if (missing.length > 0) {
    console.log(`(skip) ${name} (missing: ${missing.join(", ")})`);
    return { passed: 0, failed: required ? 1 : 0, skipped: 1 };
  }
  const database = postgres === true ? await startPostgres() : undefined;
  const server = s3 === true ? await startS3Server() : undefined;
  const scratch = mkdtempSync(join(tmpdir(), "berth-junit-"));
  const report = join(scratch, "junit.xml");
  const output = Bun.file(join(scratch, "output"));
  const files = paths.filter((path) => existsSync(join(root, path))).map((path) => `./${path}`);
  const child = Bun.spawn(
    [process.execPath, "test", "--timeout=180000", "--reporter=junit", `--reporter-outfile=${report}`, ...files],
    {
      cwd: root,
      stdin: "ignore",
      stdout: beside === true ? output : "inherit",
      stderr: beside === true ? output : "inherit",
      env: {
        ...process.env,
        ...(executable === true ? { BERTH_EXECUTABLE: join(root, "dist/berth") } : {}),
        ...(database === undefined ? {} : { BERTH_TEST_POSTGRES: database.url }),
        ...(server === undefined ? {} : { BERTH_STORES: await storesOn(server, scratch) }),
      },
    },
  );
  const code = await child.exited;
  if (beside === true) console.log(`\n== ${name}, which ran beside\n${await output.text()}`);
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
async function run(suite: Suite): Promise<void> {
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

const running: Promise<void>[] = [];
for (const suite of suites.filter(isWanted)) {
  if (suite.alone === true) await Promise.all(running);
  const ended = run(suite);
  if (suite.beside === true) running.push(ended);
  else await ended;
}
await Promise.all(running);
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exit(total.failed === 0 ? 0 : 1);
