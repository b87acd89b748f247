import type { WriterReply, WriterRequest } from "../metadata/ipc.ts";
import type { Settings } from "./options.ts";

/** What the supervisor tells a child. */
export type ToChild =
  | { kind: "start"; role: "api" | "background"; index: number; settings: Settings; port: number; startedAt: number }
  | { kind: "stop" }
  | { kind: "collect"; id: number }
  | { kind: "metrics"; id: number; text: string }
  | WriterReply;

/** What a child tells the supervisor. */
export type ToSupervisor =
  | { kind: "ready" }
  | { kind: "failed"; message: string }
  | { kind: "collected"; id: number; metrics: object[] }
  | { kind: "scrape"; id: number }
  | WriterRequest;

/** Says to the program that it is a child, not a command line. */
export const childVariable = "BERTH_CHILD";
