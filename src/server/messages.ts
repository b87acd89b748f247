import type { RequestCounts } from "../http/request-quota.ts";
import type { FailureList } from "../identity/sign-in-throttle.ts";
import type { WriterReply, WriterRequest } from "../metadata/ipc.ts";
import type { Settings } from "./options.ts";

/** What the supervisor tells a child. */
export type ToChild =
  | {
      kind: "start";
      role: "api" | "background";
      index: number;
      settings: Settings;
      port: number;
      startedAt: number;
      /** The running server's own name, among those that share a database. */
      server: string;
    }
  | { kind: "stop" }
  | { kind: "collect"; id: number }
  | { kind: "metrics"; id: number; text: string }
  | News
  | WriterReply;

/** What a child tells the supervisor. */
export type ToSupervisor =
  | { kind: "ready" }
  | { kind: "failed"; message: string }
  | { kind: "collected"; id: number; metrics: object[] }
  | { kind: "scrape"; id: number }
  | News
  | WriterRequest;

/** What a process that answers requests has counted, for the others that do. */
export interface News {
  kind: "news";
  requests: RequestCounts;
  failures: FailureList;
}

/** Says to the program that it is a child, not a command line. */
export const childVariable = "BERTH_CHILD";
