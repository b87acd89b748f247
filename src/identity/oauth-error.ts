/** Error codes of OAuth 2.0. [RFC 6749 section 5.2; RFC 8693 section 2.2.2] */
export type OAuthErrorCode =
  | "invalid_request"
  | "invalid_client"
  | "invalid_grant"
  | "invalid_scope"
  | "unauthorized_client"
  | "unsupported_grant_type"
  | "invalid_target";

/** A refusal of the token endpoint. */
export class OAuthError extends Error {
  override readonly name = "OAuthError";
  readonly code: OAuthErrorCode;

  constructor(code: OAuthErrorCode, description: string) {
    super(description);
    this.code = code;
  }

  toResponse(): Response {
    const body = { error: this.code, error_description: this.message };
    return Response.json(body, { status: this.code === "invalid_client" ? 401 : 400, headers: noStore });
  }
}

/** [RFC 6749 section 5.1] */
export const noStore = { "cache-control": "no-store", pragma: "no-cache" };
