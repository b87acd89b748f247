import { randomInt } from "node:crypto";

/** A number of so many digits, none of them leading zeros, as Google gives accounts (21) and projects (12). */
export function randomDigits(count: number): string {
  return Array.from({ length: count }, (_, i) => randomInt(i === 0 ? 1 : 0, 10)).join("");
}
