import pino, { type Logger } from "pino";

/** What is logged of each request. Strings may hold anything a client sent. */
export interface RequestLine {
  requestId: string;
  method: string;
  path: string;
  status: number;
  principal: string;
  repository: string;
  received: number;
  bytes: number;
  client: string;
  seconds: number;
}

export interface Log extends Logger {
  /** A line at level `info` for a request. */
  request(line: RequestLine): void;
  /** Resolves when all lines are out, or nobody reads them any more. To be called before the process ends. */
  drain(): Promise<void>;
}

/** A reader that has stopped must not keep the process. */
const drainPatience = 500;

/**
 * Structured lines on standard output. A write is at most 4,096 bytes and ends with a line, so that the lines of
 * several processes on one pipe never mix (PIPE_BUF).
 */
export function openLog(level: string, processName: string): Log {
  const destination = pino.destination({ fd: 1, sync: false, minLength: 3600, maxWrite: 4096 });
  setInterval(() => destination.flush(), 200).unref();
  // Nobody reads the log any more: the registry goes on without it.
  destination.on("error", () => {});
  const base = { process: processName };
  const log = pino({ level, base, timestamp: pino.stdTimeFunctions.isoTime, messageKey: "message" }, destination);
  const enabled = log.isLevelEnabled("info");
  return Object.assign(log, {
    request(line: RequestLine): void {
      if (enabled) destination.write(formatRequest(processName, line));
    },
    // Not flushSync, which tries for ever on a pipe that is closed.
    drain: () =>
      Promise.race([new Promise<void>((resolve) => destination.flush(() => resolve())), Bun.sleep(drainPatience)]),
  });
}

/**
 * The line that pino would write, put together by hand: there is one for every request, and pino's general way is a
 * sixth of what a request for a manifest costs.
 */
export function formatRequest(processName: string, line: RequestLine): string {
  return (
    `{"level":30,"time":"${new Date().toISOString()}","process":"${processName}","requestId":"${line.requestId}"` +
    `,"method":${quote(line.method)},"path":${quote(line.path)},"status":${line.status}` +
    `,"principal":${quote(line.principal)},"repository":${quote(line.repository)},"received":${line.received}` +
    `,"bytes":${line.bytes},"client":${quote(line.client)},"seconds":${line.seconds.toFixed(6)},"message":"request"}\n`
  );
}

function quote(text: string): string {
  return /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/.test(text) ? `"${text}"` : JSON.stringify(text);
}

/** What of an error may stand in the log: SQL and paths, but no header or body ever gets into an error. */
export function errorFields(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { error: String(error) };
  const cause = error.cause === undefined ? {} : { cause: errorFields(error.cause) };
  return { error: error.message, stack: error.stack?.slice(0, 4000), ...cause };
}
