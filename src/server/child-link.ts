import { errorCodec } from "../http/berth-error.ts";
import { RemoteWriter } from "../metadata/ipc.ts";
import type { News, ToChild, ToSupervisor } from "./messages.ts";

/** A child's side of the channel to the supervisor. */
export interface ChildLink {
  writer: RemoteWriter;
  send(message: ToSupervisor): void;
  /** The metrics of all processes, as text. */
  scrape(): Promise<string>;
}

interface LinkHandlers {
  collect(): Promise<object[]>;
  /** What other processes have counted. */
  hear?(news: News): void;
  stop(): void;
}

/** Waits for the supervisor's first message and connects to it. A supervisor that dies takes its children along. */
export async function connectToSupervisor(
  start: (message: Extract<ToChild, { kind: "start" }>, link: ChildLink) => Promise<LinkHandlers>,
): Promise<void> {
  const send = (message: ToSupervisor): void => {
    process.send?.(message);
  };
  const writer = new RemoteWriter(send, errorCodec);
  const scrapes = new Map<number, (text: string) => void>();
  let nextScrape = 0;
  const scrape = (): Promise<string> =>
    new Promise((resolve) => {
      const id = nextScrape++;
      scrapes.set(id, resolve);
      send({ kind: "scrape", id });
    });
  // The terminal sends its signals to the whole group; the supervisor alone decides when the children stop.
  process.on("SIGINT", () => {});
  process.on("SIGTERM", () => {});
  process.on("disconnect", () => process.exit(1));

  let handlers: LinkHandlers | undefined;
  let stopped = false;
  await new Promise<void>((resolve, reject) => {
    process.on("message", (message: ToChild) => {
      if (message.kind === "written") writer.receive(message);
      else if (message.kind === "start") {
        start(message, { writer, send, scrape }).then((started) => {
          handlers = started;
          if (stopped) handlers.stop();
          resolve();
        }, reject);
      } else if (message.kind === "stop") {
        stopped = true;
        handlers?.stop();
      } else if (message.kind === "news") {
        handlers?.hear?.(message);
      } else if (message.kind === "metrics") {
        scrapes.get(message.id)?.(message.text);
        scrapes.delete(message.id);
      } else if (message.kind === "collect") {
        const { id } = message;
        void (handlers?.collect() ?? Promise.resolve([])).then((metrics) => send({ kind: "collected", id, metrics }));
      }
    });
  });
}
