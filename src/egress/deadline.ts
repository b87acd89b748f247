import { EgressError } from "./egress-error.ts";

/** The end of an exchange: its signal aborts when time is over, when the caller says so, or when it is ended. */
export class Deadline {
  readonly signal: AbortSignal;
  readonly #host: string;
  readonly #controller = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(host: string, signal?: AbortSignal) {
    this.#host = host;
    const own = this.#controller.signal;
    this.signal = signal === undefined ? own : AbortSignal.any([own, signal]);
  }

  /** From now on, until `stop` or the next `start`, there are so many milliseconds. */
  start(milliseconds: number): void {
    this.stop();
    const late = (): void =>
      this.#controller.abort(new EgressError("timeout", this.#host, `no answer within ${milliseconds} ms`));
    this.#timer = setTimeout(late, milliseconds);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  /** Closes a connection that is still open. */
  end(): void {
    this.stop();
    this.#controller.abort(new DOMException("The exchange is over.", "AbortError"));
  }

  /** The result of work that cannot be stopped. @throws the signal's reason if that comes first */
  async race<T>(work: Promise<T>): Promise<T> {
    this.signal.throwIfAborted();
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    const abort = (): void => reject(this.signal.reason as Error);
    this.signal.addEventListener("abort", abort, { once: true });
    try {
      return await Promise.race([work, aborted]);
    } finally {
      this.signal.removeEventListener("abort", abort);
    }
  }
}
