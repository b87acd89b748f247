import { ApiError, type ApiStatus } from "./api-error.ts";
import { errorTable, type ErrorCode } from "./error-table.ts";

interface ErrorOptions {
  /** Goes into the reply as it is; never holds a secret. */
  detail?: unknown;
  /** Added to the reply's headers. */
  headers?: Record<string, string>;
  /** Further errors of the same kind, each with a message of its own. */
  others?: readonly { message: string; detail?: unknown }[];
  cause?: unknown;
}

/** The one error class: a refusal that the caller is told of in the API's own form. */
export class BerthError extends Error {
  override readonly name = "BerthError";
  readonly code: ErrorCode;
  readonly detail: unknown;
  readonly headers: Record<string, string>;
  readonly others: readonly { message: string; detail?: unknown }[];

  constructor(code: ErrorCode, message: string = errorTable[code].message, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.detail = options.detail;
    this.headers = options.headers ?? {};
    this.others = options.others ?? [];
  }

  get status(): number {
    return errorTable[this.code].status;
  }
}

interface EncodedError {
  kind: "berth" | "api" | "other";
  code: string | undefined;
  message: string;
  stack: string | undefined;
  detail: unknown;
  others: BerthError["others"];
}

/** Carries errors between Berth's processes. */
export const errorCodec = {
  encode(error: unknown): EncodedError {
    if (error instanceof BerthError) {
      const { code, message, stack, detail, others } = error;
      return { kind: "berth", code, message, stack, detail, others };
    }
    if (error instanceof ApiError) {
      const { status, message, stack } = error;
      return { kind: "api", code: status, message, stack, detail: undefined, others: [] };
    }
    const { message, stack, code }: Error & { code?: string } =
      error instanceof Error ? error : new Error(String(error));
    return { kind: "other", code, message, stack, detail: undefined, others: [] };
  },
  decode(data: unknown): Error {
    const { kind, code, message, stack, detail, others } = data as EncodedError;
    if (kind === "api") return new ApiError(code as ApiStatus, message);
    if (kind === "berth") return new BerthError(code as ErrorCode, message, { detail, others });
    return Object.assign(new Error(message), { code, ...(stack === undefined ? {} : { stack }) });
  },
};

/** What a caller is told of any error: one that is not ours says nothing but UNKNOWN, or that space ran out. */
export function toBerthError(error: unknown): BerthError {
  if (error instanceof BerthError) return error;
  const code = (error as { code?: unknown } | undefined)?.code;
  if (code === "ENOSPC" || code === "EDQUOT" || code === "SQLITE_FULL" || code === "53100") {
    return new BerthError("STORAGE_FULL", undefined, { cause: error });
  }
  if ((error as Error | undefined)?.name === "MissingBytesError") {
    return new BerthError("BYTES_MISSING", undefined, { cause: error });
  }
  if (["StoreUnavailableError", "MetadataUnavailableError"].includes((error as Error | undefined)?.name ?? "")) {
    return new BerthError("UNAVAILABLE", undefined, { cause: error });
  }
  return new BerthError("UNKNOWN", undefined, { cause: error });
}
