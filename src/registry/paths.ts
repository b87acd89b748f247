import { BerthError } from "../http/berth-error.ts";
import { parseRepositoryPath, type RepositoryPath } from "../names/reference.ts";

/** The addresses below `/v2/`. */
export type Target =
  | { kind: "ping" | "token" | "catalog" }
  | { kind: "manifests" | "blobs" | "referrers"; repository: RepositoryPath; reference: string }
  | { kind: "tags" | "uploads"; repository: RepositoryPath }
  | { kind: "upload"; repository: RepositoryPath; id: string };

/** The addresses that are no repository's, and what they take. */
export const endpoints = {
  ping: { path: "/v2/", methods: ["GET", "HEAD"] },
  token: { path: "/v2/token", methods: ["GET", "POST"] },
  catalog: { path: "/v2/_catalog", methods: ["GET", "HEAD"] },
} as const;

/**
 * Reads the path of a request to the registry, once: everything after works on what this returns. Percent signs are
 * taken only where clients write them, in a digest's `%3A`; in a name they are refused, so that no second spelling
 * of a repository exists.
 * @throws BerthError NAME_INVALID, NOT_FOUND
 */
export function parsePath(path: string): Target {
  if (path === endpoints.ping.path) return { kind: "ping" };
  if (path === endpoints.token.path) return { kind: "token" };
  if (path === endpoints.catalog.path) return { kind: "catalog" };
  const segments = path.split("/");
  if (segments[0] !== "" || segments[1] !== "v2") throw new BerthError("NOT_FOUND");
  const count = segments.length;
  const last = segments[count - 1] as string;
  const before = segments[count - 2];
  if (before === "manifests" || before === "referrers") {
    return { kind: before, repository: name(segments, count - 2), reference: decode(last) };
  }
  if (before === "tags" && last === "list") return { kind: "tags", repository: name(segments, count - 2) };
  if (before === "uploads" && segments[count - 3] === "blobs") {
    const repository = name(segments, count - 3);
    return last === "" ? { kind: "uploads", repository } : { kind: "upload", repository, id: last };
  }
  if (before === "blobs") {
    const repository = name(segments, count - 2);
    // Some clients leave the slash away when they begin an upload.
    return last === "uploads"
      ? { kind: "uploads", repository }
      : { kind: "blobs", repository, reference: decode(last) };
  }
  throw new BerthError("NOT_FOUND");
}

function name(segments: string[], end: number): RepositoryPath {
  const text = segments.slice(2, end).join("/");
  const path = parseRepositoryPath(text);
  if (path === undefined) {
    throw new BerthError("NAME_INVALID", `"${text.slice(0, 300)}" is not PROJECT/IMAGE in the registry's grammar.`, {
      detail: { name: text.slice(0, 300) },
    });
  }
  return path;
}

function decode(text: string): string {
  if (!text.includes("%")) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
