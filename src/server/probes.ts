import type { BlobStore } from "../blobs/blob-store.ts";
import type { Database } from "../metadata/database.ts";

interface ProbeDependencies {
  database: Database;
  stores: ReadonlyMap<string, BlobStore>;
  /** The metrics of all processes, as text. */
  scrape: () => Promise<string>;
  isStopping: () => boolean;
}

/** A store that does not answer in this time is not ready. */
const patience = 5000;

/** What orchestrators and Prometheus ask: `/healthz`, `/readyz`, `/metrics`. Without credentials, and without names. */
export class Probes {
  readonly #dependencies: ProbeDependencies;

  constructor(dependencies: ProbeDependencies) {
    this.#dependencies = dependencies;
  }

  answer(path: string, method: string): Promise<Response> | undefined {
    if (method !== "GET" && method !== "HEAD") return undefined;
    if (path === "/healthz") return Promise.resolve(new Response("ok\n"));
    if (path === "/readyz") return this.#ready();
    if (path === "/metrics") return this.#metrics();
    return undefined;
  }

  /** 200 where the database and every blob store have really answered. */
  async #ready(): Promise<Response> {
    const { database, stores, isStopping } = this.#dependencies;
    if (isStopping()) return new Response("stopping\n", { status: 503 });
    const parts = [
      ["database", () => database.readRow("SELECT value FROM versions LIMIT 1")],
      ...[...stores].map(([name, store]) => [`store ${name}`, () => store.check()] as const),
    ] as const;
    const states = await Promise.all(
      parts.map(async ([name, check]) => {
        try {
          await Promise.race([check(), Bun.sleep(patience).then(() => Promise.reject(new Error("no answer")))]);
          return `${name}: ok`;
        } catch {
          return `${name}: failed`;
        }
      }),
    );
    const ok = states.every((state) => state.endsWith("ok"));
    return new Response(`${states.join("\n")}\n`, { status: ok ? 200 : 503 });
  }

  async #metrics(): Promise<Response> {
    const text = await this.#dependencies.scrape();
    return new Response(text, { headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" } });
  }
}
