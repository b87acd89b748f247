import { ServerRefusal } from "./server-client.ts";

const attempts = 8;
/** Before the second attempt, in ms; twice as long before each further one. */
const firstPause = 50;

/**
 * Runs `change`, which reads something, changes it and writes it back with its etag: anew where somebody else was
 * faster. [IAM, "Retry strategy", read-modify-write]
 * @param random of 0 to 1
 */
export async function readModifyWrite<T>(change: () => Promise<T>, random: () => number = Math.random): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await change();
    } catch (error) {
      const isOvertaken = error instanceof ServerRefusal && error.status === "ABORTED";
      if (!isOvertaken || attempt === attempts) throw error;
      await Bun.sleep(firstPause * 2 ** (attempt - 1) * (0.5 + random()));
    }
  }
}
