/** The statuses of Google's APIs with their HTTP codes. [google.rpc.Code] */
export const apiStatuses = {
  INVALID_ARGUMENT: 400,
  FAILED_PRECONDITION: 400,
  UNAUTHENTICATED: 401,
  PERMISSION_DENIED: 403,
  NOT_FOUND: 404,
  UNSUPPORTED_METHOD: 405,
  ALREADY_EXISTS: 409,
  ABORTED: 409,
  PRECONDITION_FAILED: 412,
  REQUEST_TOO_LARGE: 413,
  RESOURCE_EXHAUSTED: 429,
  INTERNAL: 500,
  UNIMPLEMENTED: 501,
  UNAVAILABLE: 503,
} as const;

export type ApiStatus = keyof typeof apiStatuses;

/** How Cloud Storage and other older APIs name the same. [Cloud Storage, "HTTP status and error codes for JSON"] */
const reasons: Record<ApiStatus, string> = {
  INVALID_ARGUMENT: "invalid",
  FAILED_PRECONDITION: "failedPrecondition",
  UNAUTHENTICATED: "required",
  PERMISSION_DENIED: "forbidden",
  NOT_FOUND: "notFound",
  UNSUPPORTED_METHOD: "methodNotAllowed",
  ALREADY_EXISTS: "conflict",
  ABORTED: "conflict",
  PRECONDITION_FAILED: "conditionNotMet",
  REQUEST_TOO_LARGE: "uploadTooLarge",
  RESOURCE_EXHAUSTED: "rateLimitExceeded",
  INTERNAL: "internalError",
  UNIMPLEMENTED: "notImplemented",
  UNAVAILABLE: "backendError",
};

/** A refusal of one of Google's APIs. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: ApiStatus;
  readonly headers: Record<string, string>;

  constructor(status: ApiStatus, message: string, headers: Record<string, string> = {}) {
    super(message);
    this.status = status;
    this.headers = headers;
  }

  /** The body that gcloud and Google's client libraries read. [AIP-193; Cloud Storage, error responses] */
  toResponse(): Response {
    const code = apiStatuses[this.status];
    const { message, status } = this;
    const errors = [{ message, domain: "global", reason: reasons[status] }];
    return Response.json({ error: { code, message, status, errors } }, { status: code, headers: this.headers });
  }
}

/** How Google's APIs say an HTTP status; what they have no word for is by its hundred. */
export function apiStatusOf(code: number): ApiStatus {
  if (code === 400) return "INVALID_ARGUMENT";
  if (code === 409) return "ALREADY_EXISTS";
  const known = (Object.keys(apiStatuses) as ApiStatus[]).find((status) => apiStatuses[status] === code);
  return known ?? (code >= 500 ? "INTERNAL" : "INVALID_ARGUMENT");
}
