import { readFileSync } from "node:fs";
import { CommandFailure } from "./command.ts";

/** The object in a JSON file, or in the standard input where the file is `-`. @throws CommandFailure */
export function readJsonFile(file: string): object {
  let text: string;
  try {
    text = readFileSync(file === "-" ? 0 : file, "utf8");
  } catch (error) {
    throw new CommandFailure((error as Error).message);
  }
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  } catch {
    // Said below.
  }
  throw new CommandFailure(`${file === "-" ? "the standard input" : file} holds no JSON object`);
}
