/**
 * A body of exactly `size` bytes. Bun sends streams without a Content-Length, so that a client takes the end of the
 * stream for the end of the blob: one that is short or long must break the connection, never end cleanly.
 */
export function countedStream(source: ReadableStream<Uint8Array>, size: number): ReadableStream<Uint8Array> {
  const reader = source.getReader();
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
      if (sent > size) {
        controller.error(wrong());
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
