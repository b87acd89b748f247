import type { Logger } from "pino";
import { errorFields } from "./log.ts";
import type { Metrics } from "./metrics.ts";

/** A promise that nobody awaits must not end the process for everyone: it is logged, counted, and life goes on. */
export function surviveRejections(log: Logger, metrics: Metrics): void {
  process.on("unhandledRejection", (error) => {
    metrics.unhandled();
    log.error(errorFields(error), "unhandled rejection");
  });
}
