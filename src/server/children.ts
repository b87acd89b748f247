import type { Logger } from "pino";
import type { ToChild, ToSupervisor } from "./messages.ts";
import { childVariable } from "./messages.ts";

type Start = Extract<ToChild, { kind: "start" }>;

interface ChildHandlers {
  /** Any message but `ready` and `failed`; `reply` goes to the child that sent it. */
  receive(message: ToSupervisor, reply: (message: ToChild) => void, from: Child): void;
  log: Logger;
}

/** A child that stays up this long is well: the next start after it is at once again. */
const steadyAfter = 10_000;
const longestPause = 5000;

/**
 * Threads that wait for the disk. Bun has one for each core, so that two syncs on a small machine would keep every
 * other file waiting.
 */
const diskThreads = "16";

/** A child process that is started again whenever it dies. */
export class Child {
  readonly #start: Start;
  readonly #handlers: ChildHandlers;
  #process: ReturnType<typeof Bun.spawn> | undefined;
  #stopping = false;
  #failures = 0;
  #onReady: (() => void) | undefined;
  #onFailed: ((error: Error) => void) | undefined;

  constructor(start: Start, handlers: ChildHandlers) {
    this.#start = start;
    this.#handlers = handlers;
  }

  get isApi(): boolean {
    return this.#start.role === "api";
  }

  get name(): string {
    return this.#start.role === "api" ? `api-${this.#start.index}` : "background";
  }

  /** Resolves once the child answers; rejects if its first start fails. */
  async start(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#onReady = resolve;
      this.#onFailed = reject;
      this.#spawn();
    });
    this.#onFailed = undefined;
  }

  /** A child that has died hears nothing: the next one begins anew. */
  send(message: ToChild): void {
    if (this.#process !== undefined) send(this.#process, message);
  }

  /** Asks the child to stop; resolves when it is gone, killed if it takes longer than `deadline` ms. */
  async stop(deadline: number): Promise<void> {
    this.#stopping = true;
    const child = this.#process;
    if (child === undefined) return;
    this.send({ kind: "stop" });
    const timer = setTimeout(() => child.kill("SIGKILL"), deadline);
    await child.exited;
    clearTimeout(timer);
  }

  #spawn(): void {
    const begun = Date.now();
    const child = Bun.spawn([process.execPath, ...programArguments()], {
      env: { UV_THREADPOOL_SIZE: diskThreads, ...process.env, [childVariable]: "1" },
      stdio: ["ignore", "inherit", "inherit"],
      serialization: "advanced",
      ipc: (message: ToSupervisor) => {
        if (message.kind === "ready") this.#onReady?.();
        else if (message.kind === "failed") this.#onFailed?.(new Error(message.message));
        else this.#handlers.receive(message, (reply) => send(child, reply), this);
      },
      onExit: (_child, code, signal) => this.#exited(Date.now() - begun, code, signal ?? null),
    });
    this.#process = child;
    child.send({ ...this.#start } satisfies ToChild);
  }

  #exited(lived: number, code: number | null, signal: unknown): void {
    if (this.#stopping) return;
    if (this.#onFailed !== undefined) {
      this.#onFailed(new Error(`the process ${this.name} did not start (code ${code}, signal ${String(signal)})`));
      return;
    }
    this.#failures = lived > steadyAfter ? 0 : this.#failures + 1;
    const pause = this.#failures <= 1 ? 0 : Math.min(100 * 2 ** this.#failures, longestPause);
    this.#handlers.log.error({ child: this.name, code, signal, pause }, "process died, starting it again");
    setTimeout(() => {
      if (!this.#stopping) this.#spawn();
    }, pause);
  }
}

/** `exitCode` stays null for one that a signal ended, and one that died may not be known to be dead yet. */
function send(child: ReturnType<typeof Bun.spawn>, message: ToChild): void {
  try {
    child.send(message);
  } catch (error) {
    if (!child.killed && child.exitCode === null && child.signalCode === null) throw error;
  }
}

/** The arguments that make the executable run this program again: none for one built as a single file. */
function programArguments(): string[] {
  return Bun.main.startsWith("/$bunfs/") ? [] : [Bun.main];
}
