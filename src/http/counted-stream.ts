import { type Digest, digestAlgorithm, Digester } from "../names/digest.ts";

/**
 * A body of exactly `size` bytes, and of this digest if one is given. Bun sends streams without a Content-Length, so
 * that a client takes the end of the stream for the end of the blob: one that is short, long or wrong must break the
 * connection, never end cleanly.
 */
export function countedStream(
  source: ReadableStream<Uint8Array>,
  size: number,
  digest?: Digest,
): ReadableStream<Uint8Array> {
  const reader = source.getReader();
  const digester = digest === undefined ? undefined : new Digester(digestAlgorithm(digest));
  let sent = 0;
  const wrong = (): Error => new Error(`the body has ${sent} bytes, it should have ${size}`);
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await reader.read();
      if (done) {
        if (sent === size) controller.close();
        else controller.error(wrong());
        return;
      }
      sent += value.byteLength;
      digester?.update(value);
      if (sent > size) {
        controller.error(wrong());
        await reader.cancel();
        return;
      }
      // Before the last bytes: without them no client takes the body for whole.
      if (sent === size && digester !== undefined && value.byteLength > 0 && digester.finish() !== digest) {
        controller.error(new Error(`the body is not ${digest}`));
        await reader.cancel();
        return;
      }
      controller.enqueue(value);
    },
    async cancel(reason) {
      await reader.cancel(reason);
    },
  });
}
