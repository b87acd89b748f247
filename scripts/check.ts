import { join } from "node:path";
import { staleDocs } from "./docs.ts";
import { wrongImports } from "./imports.ts";

const root = join(import.meta.dir, "..");
const bin = (name: string): string => join(root, "node_modules/.bin", name);

/** Everything about the sources that is true or false without running them. Each line of output is a thing to mend. */
const checks: readonly [string, () => Promise<boolean>][] = [
  ["types", () => run(bin("tsc"), "-p", root)],
  ["lint", () => run(bin("oxlint"), "--type-aware", "--deny-warnings", "src", "test", "bench", "scripts")],
  ["format", () => run(bin("prettier"), "--check", "--log-level", "warn", ".")],
  ["dead code", () => run(bin("knip"), "--no-progress", "--no-config-hints")],
  ["imports", async () => report(await wrongImports(root))],
  ["generated docs", async () => report(await staleDocs(root))],
];

async function run(...command: string[]): Promise<boolean> {
  const child = Bun.spawn(command, { cwd: root, stdout: "pipe", stderr: "pipe" });
  const output = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  if ((await child.exited) === 0) return true;
  console.error(output.join("").trim());
  return false;
}

function report(problems: string[]): Promise<boolean> {
  for (const problem of problems) console.error(problem);
  return Promise.resolve(problems.length === 0);
}

const failed: string[] = [];
for (const [name, check] of checks) {
  const begun = performance.now();
  const ok = await check();
  console.log(`${ok ? "ok  " : "FAIL"} ${name} (${((performance.now() - begun) / 1000).toFixed(1)} s)`);
  if (!ok) failed.push(name);
}
process.exit(failed.length === 0 ? 0 : 1);
