import { ApiError } from "./api-error.ts";

/**
 * How many items a page has: what the query asks for, at most `largest`; `usual` where it asks for nothing or for 0.
 * @throws ApiError INVALID_ARGUMENT for what is no whole number. [AIP-158]
 */
export function pageSizeOf(
  query: URLSearchParams,
  limits: { usual: number; largest: number },
  name = "pageSize",
): number {
  const text = query.get(name) ?? "";
  if (text === "" || /^0+$/.test(text)) return limits.usual;
  if (!/^\d{1,9}$/.test(text)) {
    throw new ApiError("INVALID_ARGUMENT", `${name}: "${text.slice(0, 50)}" is not a whole number, or less than 0.`);
  }
  return Math.min(Number(text), limits.largest);
}
