import { createHash } from "node:crypto";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { run } from "./tools.ts";

const debian = "/usr/lib/postgresql";

/** Where PostgreSQL's own programs are; Debian keeps them out of PATH. `null` where there is none. */
export function postgresPrograms(): string | null {
  try {
    const versions = readdirSync(debian).sort((a, b) => Number(b) - Number(a));
    if (versions[0] !== undefined) return join(debian, versions[0], "bin");
  } catch {
    // Another system.
  }
  const found = Bun.which("initdb");
  return found === null ? null : join(found, "..");
}

/** The name of the suite's database for the server with this data directory. */
export function databaseNameOf(data: string): string {
  return `berth_${createHash("sha256").update(data).digest("hex").slice(0, 16)}`;
}

/** The address of the suite's database for the server with this data directory, made when it is first asked for. */
export async function databaseOf(data: string): Promise<string | undefined> {
  const base = process.env.BERTH_TEST_POSTGRES;
  if (base === undefined) return undefined;
  const name = databaseNameOf(data);
  const psql = [join(postgresPrograms() ?? "", "psql"), "-qAtX", base, "-c"];
  const known = await run([...psql, `SELECT 1 FROM pg_database WHERE datname = '${name}'`]);
  if (known.trim() === "") await run([...psql, `CREATE DATABASE ${name} TEMPLATE template0`]);
  return base.replace(/\/postgres$/, `/${name}`);
}
