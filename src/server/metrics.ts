import { AggregatorRegistry, collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";

/** The measures of one process. Labels are of a few values each: never a name that a client chose. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #requests: Counter<"route" | "method" | "status">;
  readonly #duration: Histogram<"route" | "method">;
  readonly #received: Counter;
  /** Requests since the last scrape: counting by labels in the library takes as long as a look-up in the database. */
  readonly #counts = new Map<string, Counts>();
  readonly #unhandled: Counter;

  constructor() {
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry, prefix: "berth_" });
    this.#requests = new Counter({
      name: "berth_http_requests_total",
      help: "Requests answered.",
      labelNames: ["route", "method", "status"],
      registers,
    });
    this.#duration = new Histogram({
      name: "berth_http_request_duration_seconds",
      help: "Time until the reply's header.",
      labelNames: ["route", "method"],
      buckets: [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60],
      registers,
    });
    this.#received = new Counter({
      name: "berth_http_received_bytes_total",
      help: "Bytes of bodies received.",
      registers,
    });
    this.#unhandled = new Counter({
      name: "berth_unhandled_rejections_total",
      help: "Faults that no request was told of.",
      registers,
    });
    new Gauge({
      name: "berth_process_up",
      help: "Processes of this server that answered the scrape.",
      registers,
      aggregator: "sum",
    }).set(1);
  }

  answered(route: string, method: string, status: number, seconds: number): void {
    const known = methods.has(method) ? method : "other";
    const name = `${route} ${known} ${status}`;
    let counts = this.#counts.get(name);
    if (counts === undefined) {
      counts = { labels: { route, method: known, status }, requests: 0, observed: { route, method: known } };
      this.#counts.set(name, counts);
    }
    counts.requests++;
    this.#duration.observe(counts.observed, seconds);
  }

  received(bytes: number): void {
    if (bytes > 0) this.#received.inc(bytes);
  }

  unhandled(): void {
    this.#unhandled.inc();
  }

  /** Plain data, to be summed with the other processes'. */
  async collect(): Promise<object[]> {
    for (const counts of this.#counts.values()) {
      this.#requests.inc(counts.labels, counts.requests);
      counts.requests = 0;
    }
    return (await this.#registry.getMetricsAsJSON()) as object[];
  }
}

interface Counts {
  labels: { route: string; method: string; status: number };
  observed: { route: string; method: string };
  requests: number;
}

const methods = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]);

/** The sum over processes, in Prometheus's text format. */
export async function sumMetrics(processes: object[][]): Promise<string> {
  return AggregatorRegistry.aggregate(processes as never).metrics();
}
