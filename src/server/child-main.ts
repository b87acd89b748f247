import { startApi } from "./api-process.ts";
import { startBackground } from "./background-process.ts";
import { connectToSupervisor } from "./child-link.ts";

/** What the program does when the supervisor started it. */
export async function runChild(): Promise<void> {
  try {
    await connectToSupervisor((message, link) =>
      message.role === "api" ? startApi(message, link) : startBackground(message, link),
    );
    process.send?.({ kind: "ready" });
  } catch (error) {
    process.send?.({ kind: "failed", message: (error as Error).message });
    process.exitCode = 1;
    process.disconnect?.();
  }
}
