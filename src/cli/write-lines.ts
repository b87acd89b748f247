import { CommandFailure } from "./command.ts";
import { withProgress } from "./progress.ts";

const newline = 0x0a;

/** Writes a stream of lines to standard output as it comes. @param limit how many lines at most */
export async function writeLines(lines: ReadableStream<Uint8Array<ArrayBuffer>>, limit = Infinity): Promise<void> {
  let count = 0;
  const write = async (): Promise<void> => {
    for await (const chunk of whole(lines)) {
      const piece = firstLines(chunk, limit - count);
      count += piece.lines;
      // The server waits for who takes the lines.
      await new Promise<void>((resolve) => process.stdout.write(piece.bytes, () => resolve()));
      if (count >= limit) return;
    }
  };
  // On a terminal the lines themselves are the progress.
  await (process.stdout.isTTY ? write() : withProgress(() => `${count} lines`, write));
}

/** @throws CommandFailure where the stream breaks off: what was written is not all */
async function* whole(lines: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<Uint8Array> {
  try {
    yield* lines;
  } catch (error) {
    throw new CommandFailure(`the server broke off: ${(error as Error).message}`);
  }
}

function firstLines(chunk: Uint8Array, most: number): { bytes: Uint8Array; lines: number } {
  let lines = 0;
  for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, end + 1)) {
    if (++lines >= most) return { bytes: chunk.subarray(0, end + 1), lines };
  }
  return { bytes: chunk, lines };
}
