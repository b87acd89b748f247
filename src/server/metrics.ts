import { AggregatorRegistry, collectDefaultMetrics, Counter, Gauge, Registry } from "prom-client";

/** The measures of one process. Labels are of a few values each: never a name that a client chose. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #requests: Counter<"route" | "method" | "status">;
  readonly #received: Counter;
  /** Requests since the last scrape: counting by labels in the library takes as long as a look-up in the database. */
  readonly #counts = new Map<string, Counts>();
  readonly #durations = new Map<string, Durations>();
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
      counts = { labels: { route, method: known, status }, requests: 0, durations: this.#durationsOf(route, known) };
      this.#counts.set(name, counts);
    }
    counts.requests++;
    const { buckets } = counts.durations;
    counts.durations.sum += seconds;
    let bucket = 0;
    while (seconds > (bounds[bucket] ?? Infinity)) bucket++;
    buckets[bucket] = (buckets[bucket] as number) + 1;
  }

  #durationsOf(route: string, method: string): Durations {
    const name = `${route} ${method}`;
    let durations = this.#durations.get(name);
    if (durations === undefined) {
      durations = { labels: { route, method }, buckets: Array<number>(bounds.length + 1).fill(0), sum: 0 };
      this.#durations.set(name, durations);
    }
    return durations;
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
    const durations = {
      name: durationName,
      help: "Time until the reply's header.",
      type: "histogram",
      values: [...this.#durations.values()].flatMap(histogramValues),
      aggregator: "sum",
    };
    return [...((await this.#registry.getMetricsAsJSON()) as object[]), durations];
  }
}

const durationName = "berth_http_request_duration_seconds";
/** Upper ends of the buckets, in seconds; above the last one is one more. */
const bounds = [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60];

/** In the library's form: how many took at most so long, their sum, their number. */
function histogramValues({ labels, buckets, sum }: Durations): object[] {
  let count = 0;
  const values = buckets.map((each, i) => {
    count += each;
    return { labels: { le: bounds[i] ?? "+Inf", ...labels }, value: count, metricName: `${durationName}_bucket` };
  });
  return [
    ...values,
    { labels, value: sum, metricName: `${durationName}_sum` },
    { labels, value: count, metricName: `${durationName}_count` },
  ];
}

interface Durations {
  labels: { route: string; method: string };
  /** Requests in each bucket alone. */
  buckets: number[];
  sum: number;
}

interface Counts {
  labels: { route: string; method: string; status: number };
  durations: Durations;
  requests: number;
}

const methods = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]);

/** The sum over processes, in Prometheus's text format. */
export async function sumMetrics(processes: object[][]): Promise<string> {
  return AggregatorRegistry.aggregate(processes as never).metrics();
}
