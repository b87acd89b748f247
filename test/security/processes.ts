import { readFileSync } from "node:fs";
import type { Berth } from "../harness/berth.ts";

/** The most memory, in MiB, that any process of the server has had resident. */
export function peakMemory(berth: Berth): number {
  const children = readFileSync(`/proc/${berth.pid}/task/${berth.pid}/children`, "utf8").trim().split(" ");
  const peaks = [String(berth.pid), ...children].map((pid) => {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
  });
  return Math.max(...peaks);
}
