import { chmodSync, mkdirSync } from "node:fs";
import { join } from "node:path";

/** Makes `dist/berth`: the program with Bun in one file, which needs neither Node nor node_modules. */
const root = join(import.meta.dir, "..");
const outfile = join(root, "dist/berth");
mkdirSync(join(root, "dist"), { recursive: true });
const build = Bun.spawnSync(
  [
    process.execPath,
    "build",
    "--compile",
    "--minify-syntax",
    "--sourcemap",
    join(root, "src/main.ts"),
    "--outfile",
    outfile,
  ],
  { cwd: root, stdout: "inherit", stderr: "inherit" },
);
if (!build.success) process.exit(1);
chmodSync(outfile, 0o755);
console.log(outfile);
