import { expect, test } from "bun:test";
import { digestOf } from "../names/digest.ts";
import { countedStream } from "./counted-stream.ts";

const source = (...sizes: number[]): ReadableStream<Uint8Array> =>
  new ReadableStream({
    start(controller) {
      for (const size of sizes) controller.enqueue(new Uint8Array(size));
      controller.close();
    },
  });

test("exactly the bytes pass", async () => {
  expect((await new Response(countedStream(source(3, 4), 7)).bytes()).length).toBe(7);
  expect((await new Response(countedStream(source(), 0)).bytes()).length).toBe(0);
});

test.each([
  ["short", [3, 3]],
  ["long", [3, 5]],
  ["empty", []],
])("a body that is too %s never ends cleanly", async (_, sizes) => {
  const body = new Response(countedStream(source(...sizes), 7));
  await expect(body.bytes()).rejects.toThrow();
});

test("a body that is not what it should be never ends cleanly, nor is sent in whole", async () => {
  const bytes = (): ReadableStream<Uint8Array> =>
    new ReadableStream({
      start(controller) {
        for (const text of ["right ", "or ", "wrong"]) controller.enqueue(Buffer.from(text));
        controller.close();
      },
    });
  for (const algorithm of ["sha256", "sha512"] as const) {
    const right = digestOf("right or wrong", algorithm);
    expect(await new Response(countedStream(bytes(), 14, right)).text()).toBe("right or wrong");
    const reader = countedStream(bytes(), 14, digestOf("right or wrong?", algorithm)).getReader();
    let seen = "";
    const read = async (): Promise<void> => {
      for (let next = await reader.read(); !next.done; next = await reader.read()) {
        seen += Buffer.from(next.value).toString();
      }
    };
    await expect(read()).rejects.toThrow("the body is not");
    expect(seen).toBe("right or ");
  }
});

test("who leaves early frees the source", async () => {
  let cancelled = false;
  const endless = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(new Uint8Array(1)),
    cancel: () => {
      cancelled = true;
    },
  });
  const reader = countedStream(endless, 1000).getReader();
  await reader.read();
  await reader.cancel();
  expect(cancelled).toBe(true);
});
