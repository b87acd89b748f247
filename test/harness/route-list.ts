import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { migrate } from "../../src/metadata/migrate.ts";
import { SqliteConnection, SqliteDatabase, SqliteWriter } from "../../src/metadata/sqlite.ts";
import { endpoints } from "../../src/registry/paths.ts";
import { routes } from "../../src/registry/routes.ts";
import { probePaths } from "../../src/server/probes.ts";
import { openRooms } from "../../src/server/rooms.ts";
import { loadSettings } from "../../src/server/settings.ts";

const patterns: Record<string, string> = {
  manifests: "/v2/{name}/manifests/{reference}",
  blobs: "/v2/{name}/blobs/{digest}",
  uploads: "/v2/{name}/blobs/uploads/",
  upload: "/v2/{name}/blobs/uploads/{upload}",
  tags: "/v2/{name}/tags/list",
  referrers: "/v2/{name}/referrers/{digest}",
};

/** Every route of the program, `METHOD PATH`, from its own tables. */
export function listRoutes(): string[] {
  const directory = mkdtempSync(join(tmpdir(), "berth-routes-"));
  const path = join(directory, "berth.db");
  const connection = new SqliteConnection(path, "write");
  try {
    migrate(connection);
    const database = new SqliteDatabase(path, new SqliteWriter(connection, []));
    const { api } = openRooms(loadSettings(new Map(), {}), database, new Map(), "http://localhost");
    const registry = Object.entries(routes).flatMap(([kind, methods]) =>
      Object.keys(methods).map((method) => `${method} ${patterns[kind] ?? kind}`),
    );
    const others = Object.values(endpoints).flatMap(({ path: at, methods }) =>
      methods.map((method) => `${method} ${at}`),
    );
    const probes = probePaths.map((at) => `GET ${at}`);
    return [...api.routes().map((route) => `${route.method} ${route.path}`), ...registry, ...others, ...probes];
  } finally {
    connection.close();
    rmSync(directory, { recursive: true, force: true });
  }
}
