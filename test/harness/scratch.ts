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

/** A scratch directory that is made by its first use: a suite that is skipped leaves nothing behind. */
export function makeScratch(): Scratch {
  // Short: containerd makes Unix sockets below it, whose paths end at 107 characters.
  // In lower case: podman takes it for the name of an image.
  const path = join(tmpdir(), `bt-${randomBytes(4).toString("hex")}`);
  const home = join(path, "home");
  let isMade = false;
  let counter = 0;
  const make = (): string => {
    if (isMade) return path;
    mkdirSync(join(home, "run"), { recursive: true, mode: 0o700 });
    // podman and buildah take a file that is named but missing for a mistake.
    writeFileSync(join(home, "auth.json"), "{}", { mode: 0o600 });
    isMade = true;
    return path;
  };
  return {
    get path() {
      return make();
    },
    get env() {
      make();
      return clientSettings(home);
    },
    directory(name) {
      const made = join(make(), `${name}-${++counter}`);
      mkdirSync(made);
      return made;
    },
    async remove() {
      for (const point of mountPoints().filter((each) => each.startsWith(`${path}/`)))
        await run(["umount", "-l", point]);
      rmSync(path, { recursive: true, force: true });
    },
  };
}

function clientSettings(home: string): Record<string, string | undefined> {
  return {
    HOME: home,
    DOCKER_CONFIG: join(home, ".docker"),
    REGISTRY_AUTH_FILE: join(home, "auth.json"),
    XDG_RUNTIME_DIR: join(home, "run"),
    XDG_CONFIG_HOME: undefined,
    // Programs written in Go would take these for the only authorities there are.
    SSL_CERT_FILE: undefined,
    SSL_CERT_DIR: undefined,
  };
}

/** Everything that is mounted, the last one first. */
function mountPoints(): string[] {
  const lines = readFileSync("/proc/self/mounts", "utf8").trimEnd().split("\n");
  return lines.map((line) => line.split(" ")[1] ?? "").reverse();
}
