import { BerthError } from "../http/berth-error.ts";
import type { BadCredential } from "../identity/authenticator.ts";
import { hostNameOf } from "./hosts.ts";

/** Where the client can see the registry, as it asked for it. */
interface Asked {
  scheme: string;
  host: string;
}

/**
 * 401 with the place to get a token. Written as Container Registry did: no space after a comma, which gcloud's
 * parser relies on; `realm` and `service` name the host that was asked.
 * @param scope as `repository:P/IMG:pull`; several separated by spaces; empty for none
 */
export function unauthorized(
  asked: Asked,
  scope: string,
  message?: string,
  error?: "insufficient_scope" | "invalid_token",
): BerthError {
  let challenge = `Bearer realm="${asked.scheme}://${asked.host}/v2/token",service="${hostNameOf(asked.host)}"`;
  if (scope !== "") challenge += `,scope="${scope}"`;
  if (error !== undefined) challenge += `,error="${error}"`;
  return new BerthError("UNAUTHORIZED", message, { headers: { "www-authenticate": challenge } });
}

/** Container Registry's words for a credential that is none. */
export const badCredentialMessage: Record<Exclude<BadCredential["bad"], "throttled">, string> = {
  "json-key": "Unable to parse json key.",
  password: "Not Authorized.",
  token: "Not Authorized.",
};

/** For a caller without credentials who asks for more than everybody may. */
export const anonymousMessage =
  "You don't have the needed permissions to perform this operation, and you may have invalid credentials. " +
  "To authenticate your request, follow the steps in: " +
  "https://cloud.google.com/container-registry/docs/advanced-authentication";
