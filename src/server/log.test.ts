import { expect, test } from "bun:test";
import fc from "fast-check";
import { formatRequest } from "./log.ts";

const line = {
  requestId: "r",
  method: "GET",
  path: "/v2/",
  status: 200,
  principal: "",
  repository: "",
  received: 0,
  bytes: 1,
  client: "::1",
  seconds: 0.00125,
};

test("a request is one line of JSON, whatever the client sent", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.string(), (path, method) => {
      const text = formatRequest("api-0", { ...line, path, method });
      expect(text.indexOf("\n")).toBe(text.length - 1);
      expect(JSON.parse(text)).toMatchObject({ path, method, status: 200, seconds: 0.00125, message: "request" });
    }),
  );
});
