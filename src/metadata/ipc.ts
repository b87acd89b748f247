import type { Writer } from "./database.ts";

/** A command on its way to the process that holds the write connection. */
interface Call {
  id: number;
  name: string;
  input: unknown;
}

type Answer = { id: number; output: unknown } | { id: number; error: unknown };

export type WriterRequest = { kind: "write"; calls: Call[] };
export type WriterReply = { kind: "written"; answers: Answer[] };

/** How errors cross between processes, which keep neither classes nor private fields. */
export interface ErrorCodec {
  encode(error: unknown): unknown;
  decode(data: unknown): unknown;
}

/** Sends commands to another process; those of one turn of the event loop travel together. */
export class RemoteWriter implements Writer {
  readonly #send: (request: WriterRequest) => void;
  readonly #codec: ErrorCodec;
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: unknown): void }>();
  #outgoing: Call[] = [];
  #next = 0;

  constructor(send: (request: WriterRequest) => void, codec: ErrorCodec) {
    this.#send = send;
    this.#codec = codec;
  }

  write(name: string, input: unknown): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const id = this.#next++;
      this.#waiting.set(id, { resolve, reject });
      this.#outgoing.push({ id, name, input });
      if (this.#outgoing.length === 1) {
        setImmediate(() => {
          const calls = this.#outgoing;
          this.#outgoing = [];
          this.#send({ kind: "write", calls });
        });
      }
    });
  }

  receive(reply: WriterReply): void {
    for (const answer of reply.answers) {
      const waiting = this.#waiting.get(answer.id);
      this.#waiting.delete(answer.id);
      if ("error" in answer) waiting?.reject(this.#codec.decode(answer.error));
      else waiting?.resolve(answer.output);
    }
  }
}

/** Runs another process's commands on `writer` and sends the answers of one group back together. */
export function serveWriter(writer: Writer, reply: (message: WriterReply) => void, codec: ErrorCodec) {
  let answers: Answer[] = [];
  const answer = (each: Answer): void => {
    answers.push(each);
    if (answers.length > 1) return;
    queueMicrotask(() => {
      const ready = answers;
      answers = [];
      reply({ kind: "written", answers: ready });
    });
  };
  return (request: WriterRequest): void => {
    for (const { id, name, input } of request.calls) {
      writer.write(name, input).then(
        (output) => answer({ id, output }),
        (error: unknown) => answer({ id, error: codec.encode(error) }),
      );
    }
  };
}
