import { createInterface } from "node:readline";
import { Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { CommandFailure } from "./command.ts";

/** A secret from standard input; on a terminal it is asked for twice, without showing what is typed. */
export async function readSecret(prompt: string): Promise<string> {
  if (!process.stdin.isTTY) return (await text(process.stdin)).replace(/\r?\n$/, "");
  const silence = new Writable({ write: (_chunk, _encoding, done) => done() });
  const reader = createInterface({ input: process.stdin, output: silence, terminal: true });
  reader.on("SIGINT", () => reader.close());
  try {
    const lines = reader[Symbol.asyncIterator]();
    const first = await ask(`${prompt}: `, lines);
    if ((await ask(`${prompt}, again: `, lines)) === first) return first;
  } finally {
    reader.close();
  }
  throw new CommandFailure("the two are not the same");
}

async function ask(question: string, lines: AsyncIterator<string>): Promise<string> {
  process.stderr.write(question);
  const { value, done } = await lines.next();
  process.stderr.write("\n");
  if (done === true) throw new CommandFailure("nothing was changed");
  return value;
}
