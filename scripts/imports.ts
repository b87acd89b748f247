import { Glob } from "bun";
import { dirname, join, relative, resolve } from "node:path";

/** The rooms from the top of the house to its ground: a room imports from itself and from those below. */
const rooms = [
  "main.ts",
  "cli",
  "server",
  "registry",
  "mirror",
  "admission",
  "analysis",
  "notifications",
  "maintenance",
  "projects",
  "identity",
  "images",
  "access",
  "operations",
  "egress",
  "keys",
  "http",
  "metadata",
  "blobs",
  "names",
];

/** The third-party packages, each with the rooms that may know it. */
const packages: Record<string, readonly string[]> = {
  "@aws-sdk/client-s3": ["blobs"],
  "@bufbuild/cel": ["access"],
  "@bufbuild/cel-spec": ["access"],
  "@bufbuild/protobuf": ["access"],
  "@bufbuild/re2": ["access"],
  "@peculiar/x509": ["server"],
  "@smithy/fetch-http-handler": ["blobs"],
  "async-mutex": ["blobs"],
  "cli-table3": ["cli"],
  "reflect-metadata": ["cli", "server"],
  "ipaddr.js": ["server", "egress", "http"],
  jose: ["cli", "identity", "keys"],
  "lru-cache": ["access", "http", "identity", "images", "metadata"],
  "openid-client": ["identity"],
  "p-retry": ["metadata"],
  pg: ["metadata"],
  pino: ["server"],
  "prom-client": ["server"],
  yaml: ["server"],
  zod: ["access", "cli", "identity", "images", "projects", "server"],
};

/** What breaks the directions of docs/architecture.md, a line each. */
export async function wrongImports(root: string): Promise<string[]> {
  const source = join(root, "src");
  const wrong: string[] = [];
  const transpiler = new Bun.Transpiler({ loader: "ts" });
  for await (const file of new Glob("**/*.ts").scan(source)) {
    const room = file.split("/")[0] as string;
    if (!rooms.includes(room)) wrong.push(`src/${file}: the house has no room ${room}`);
    const text = await Bun.file(join(source, file)).text();
    for (const path of importsOf(text, transpiler)) {
      // A test may put a room together with one above it, as the program does.
      if (path.startsWith(".") && /\.(?:test|suite)\.ts$/.test(file)) continue;
      const problem = path.startsWith(".") ? wrongRoom(source, file, room, path) : wrongPackage(file, room, path);
      if (problem !== undefined) wrong.push(problem);
    }
  }
  return wrong;
}

/** Types too, which the transpiler leaves out. */
function importsOf(text: string, transpiler: Bun.Transpiler): Set<string> {
  const scanned = transpiler.scanImports(text).map(({ path }) => path);
  const written = [...text.matchAll(/^(?:import|export)[^"';]*? from "([^"]+)";$/gm)].map(
    (match) => match[1] as string,
  );
  return new Set([...scanned, ...written]);
}

function wrongRoom(source: string, file: string, room: string, path: string): string | undefined {
  const target = relative(source, resolve(source, dirname(file), path));
  if (target === "../package.json") return undefined;
  const other = target.split("/")[0] as string;
  if (rooms.indexOf(other) >= rooms.indexOf(room)) return undefined;
  return `src/${file}: ${room} imports ${target}, which stands above it`;
}

function wrongPackage(file: string, room: string, path: string): string | undefined {
  if (path.startsWith("node:") || path === "bun" || path.startsWith("bun:")) return undefined;
  if (/\.(test|suite)\.ts$/.test(file) && path === "fast-check") return undefined;
  const name = path.startsWith("@") ? path.split("/").slice(0, 2).join("/") : (path.split("/")[0] as string);
  return packages[name]?.includes(room) ? undefined : `src/${file}: ${room} imports ${name}, which is not agreed on`;
}
