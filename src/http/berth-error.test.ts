import { expect, test } from "bun:test";
import { BerthError, errorCodec, toBerthError } from "./berth-error.ts";
import { errorTable } from "./error-table.ts";

test("a refusal crosses between processes whole", () => {
  const sent = new BerthError("MANIFEST_BLOB_UNKNOWN", "one", {
    detail: { digest: "d" },
    others: [{ message: "two" }],
  });
  const received = errorCodec.decode(structuredClone(errorCodec.encode(sent)));
  expect(received).toBeInstanceOf(BerthError);
  expect(received).toMatchObject({
    code: sent.code,
    message: "one",
    detail: { digest: "d" },
    others: [{ message: "two" }],
  });
});

test("the code of a system error survives, so that a full disk is still one", () => {
  const full = Object.assign(new Error("database or disk is full"), { code: "SQLITE_FULL" });
  const received = errorCodec.decode(structuredClone(errorCodec.encode(full)));
  expect(toBerthError(received).code).toBe("STORAGE_FULL");
});

test("a fault of ours tells a stranger nothing", () => {
  const refusal = toBerthError(new Error("password=hunter2 in /var/lib"));
  expect(refusal.code).toBe("UNKNOWN");
  expect(refusal.message).not.toContain("hunter2");
});

test("each code has a status and tells what to do", () => {
  for (const { status, message, doc } of Object.values(errorTable)) {
    expect(status).toBeGreaterThanOrEqual(400);
    expect(message.length).toBeGreaterThan(10);
    expect(doc.length).toBeGreaterThan(20);
  }
});
