import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "./tools.ts";

/** A temporary directory, with a home in it that keeps clients from the user's own files. */
export interface Scratch {
  path: string;
  /** Settings under which clients read and write below `path` only. */
  env: Record<string, string | undefined>;
  /** A new empty directory. */
  directory(name: string): string;
  /** Unmounts what a client left mounted below `path`, and removes it. */
  remove(): Promise<void>;
}

export function makeScratch(): Scratch {
  // Short: containerd makes Unix sockets below it, whose paths end at 107 characters.
  // In lower case: podman takes it for the name of an image.
  const path = join(tmpdir(), `bt-${randomBytes(4).toString("hex")}`);
  const home = join(path, "home");
  mkdirSync(join(home, "run"), { recursive: true, mode: 0o700 });
  // podman and buildah take a file that is named but missing for a mistake.
  writeFileSync(join(home, "auth.json"), "{}", { mode: 0o600 });
  let counter = 0;
  return {
    path,
    env: {
      HOME: home,
      DOCKER_CONFIG: join(home, ".docker"),
      REGISTRY_AUTH_FILE: join(home, "auth.json"),
      XDG_RUNTIME_DIR: join(home, "run"),
      XDG_CONFIG_HOME: undefined,
      // Programs written in Go would take these for the only authorities there are.
      SSL_CERT_FILE: undefined,
      SSL_CERT_DIR: undefined,
    },
    directory(name) {
      const made = join(path, `${name}-${++counter}`);
      mkdirSync(made);
      return made;
    },
    async remove() {
      const mounted = readFileSync("/proc/self/mounts", "utf8")
        .split("\n")
        .map((line) => line.split(" ")[1] ?? "");
      for (const point of mounted.filter((each) => each.startsWith(`${path}/`)).reverse())
        await run(["umount", "-l", point]);
      rmSync(path, { recursive: true, force: true });
    },
  };
}
