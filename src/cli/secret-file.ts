import { closeSync, fsyncSync, openSync, unlinkSync, writeSync } from "node:fs";
import { CommandFailure } from "./command.ts";

/** A new file that only its owner can read, open for what is to be kept there. */
export interface SecretFile {
  write(content: Uint8Array): void;
  /** Takes the file away again. */
  discard(): void;
}

/**
 * Made before the secret is: what could not be written then would be lost.
 * @throws CommandFailure if something is there already
 */
export function createSecretFile(path: string): SecretFile {
  let handle: number;
  try {
    handle = openSync(path, "wx", 0o600);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new CommandFailure(code === "EEXIST" ? `${path} is there already: choose another name` : message);
  }
  return {
    write(content) {
      try {
        for (let written = 0; written < content.byteLength;) written += writeSync(handle, content, written);
        fsyncSync(handle);
        closeSync(handle);
      } catch (error) {
        throw new CommandFailure((error as Error).message);
      }
    },
    discard: () => unlinkSync(path),
  };
}
