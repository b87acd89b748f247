import { decodeProtectedHeader } from "jose";

/** The id of the key that a JWT says it was signed with; empty where its header has none that is text. @throws Error if it is no JWT */
export function keyIdOf(token: string): string {
  const { kid } = decodeProtectedHeader(token) as { kid?: unknown };
  return typeof kid === "string" ? kid : "";
}
