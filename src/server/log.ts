import pino, { type Logger } from "pino";

/**
 * Structured lines on standard output. A write is at most 4,096 bytes and ends with a line, so that the lines of
 * several processes on one pipe never mix (PIPE_BUF).
 */
export function openLog(level: string, fields: Record<string, unknown>): Logger {
  const destination = pino.destination({ fd: 1, sync: false, minLength: 2048, maxWrite: 4096 });
  setInterval(() => destination.flush(), 200).unref();
  process.on("exit", () => {
    try {
      destination.flushSync();
    } catch {
      // Nothing was logged yet, or standard output is closed.
    }
  });
  return pino({ level, base: fields, timestamp: pino.stdTimeFunctions.isoTime, messageKey: "message" }, destination);
}

/** What of an error may stand in the log: SQL and paths, but no header or body ever gets into an error. */
export function errorFields(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { error: String(error) };
  const cause = error.cause === undefined ? {} : { cause: errorFields(error.cause) };
  return { error: error.message, stack: error.stack?.slice(0, 4000), ...cause };
}
