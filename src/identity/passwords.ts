import { randomBytes } from "node:crypto";
import { ApiError } from "../http/api-error.ts";

/** [NIST SP 800-63B-4, section 3.1.1.2: at least 15 for a secret that stands alone; no rules of composition] */
export const leastPassword = 15;
export const longestPassword = 256;

/** The cost that OWASP recommends for Argon2id at the least: 19 MiB, two passes. [OWASP, "Password Storage"] */
export function hashPassword(password: string): Promise<string> {
  return Bun.password.hash(normal(password), { algorithm: "argon2id", memoryCost: 19_456, timeCost: 2 });
}

/** @param hash `undefined` where there is no such user: the answer takes as long */
export async function verifyPassword(password: string, hash: string | undefined): Promise<boolean> {
  if (password.length > longestPassword) return false;
  const isRight = await Bun.password.verify(normal(password), hash ?? (await someHash()));
  return isRight && hash !== undefined;
}

/** Fifteen bytes of chance, in letters that can be typed. */
export function randomPassword(): string {
  return randomBytes(15).toString("base64url");
}

/** @throws ApiError INVALID_ARGUMENT */
export function checkPassword(password: string, email: string): void {
  const fault =
    password.length < leastPassword
      ? `it has fewer than ${leastPassword} characters`
      : password.length > longestPassword
        ? `it has more than ${longestPassword} characters`
        : password.toLowerCase().includes((email.split("@")[0] as string).toLowerCase()) && password.length < 24
          ? "it holds the user's own name"
          : new Set(password).size < 5
            ? "it repeats the same few characters"
            : undefined;
  if (fault !== undefined) throw new ApiError("INVALID_ARGUMENT", `password: ${fault}.`);
}

/** The same password, however a keyboard composes its accents. */
function normal(password: string): string {
  return password.normalize("NFC");
}

let other: Promise<string> | undefined;

function someHash(): Promise<string> {
  return (other ??= hashPassword(randomPassword()));
}
