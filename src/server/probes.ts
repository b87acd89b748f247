import type { BlobStore } from "../blobs/blob-store.ts";
import type { Database } from "../metadata/database.ts";

interface ProbeDependencies {
  database: Database;
  stores: ReadonlyMap<string, BlobStore>;
  /** The metrics of all processes, as text. */
  scrape: () => Promise<string>;
  isStopping: () => boolean;
}

/** What is answered before anything else, without credentials. */
export const probePaths = ["/healthz", "/readyz", "/metrics"] as const;

/** A store that does not answer in this time is not ready. */
const patience = 5000;

/** What orchestrators and Prometheus ask: `/healthz`, `/readyz`, `/metrics`. Without credentials, and without names. */
export class Probes {
  readonly #dependencies: ProbeDependencies;
  #looking: Promise<{ ok: boolean; text: string }> | undefined;

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
    if (this.#dependencies.isStopping()) return new Response("stopping\n", { status: 503 });
    // Who comes while one looks is told what that one finds: to look writes to every store, and anybody may ask.
    const { ok, text } = await (this.#looking ??= this.#look().finally(() => (this.#looking = undefined)));
    return new Response(text, { status: ok ? 200 : 503 });
  }

  async #look(): Promise<{ ok: boolean; text: string }> {
    const { database, stores } = this.#dependencies;
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
    return { ok, text: `${states.join("\n")}\n` };
  }

  async #metrics(): Promise<Response> {
    const text = await this.#dependencies.scrape();
    return new Response(text, { headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" } });
  }
}
