import { readFileSync } from "node:fs";
import { z } from "zod";
import type { OidcProvider } from "../identity/oidc-providers.ts";

const domain = z.string().regex(/^[a-z0-9.-]+$/, "expected a domain in lower case");

/** A provider as `berth.yaml` has it. */
export const providerShape = z.strictObject({
  name: z.string().regex(/^[a-z0-9-]{1,40}$/, "expected lower-case letters, digits and dashes"),
  issuer: z.url({ protocol: /^https?$/ }),
  "client-id": z.string().min(1),
  /** A file that holds the secret: settings are shown in too many places. */
  "client-secret-file": z.string().min(1).optional(),
  scope: z.string().default("openid email profile"),
  "groups-claim": z.string().default("groups"),
  "groups-domain": domain.optional(),
  "email-domains": z.array(domain).default([]),
});

/** @throws Error if the secret's file cannot be read */
export function openProvider(shape: z.infer<typeof providerShape>): OidcProvider {
  const file = shape["client-secret-file"];
  return {
    name: shape.name,
    issuer: shape.issuer,
    clientId: shape["client-id"],
    clientSecret: file === undefined ? undefined : readFileSync(file, "utf8").trim(),
    scope: shape.scope,
    groupsClaim: shape["groups-claim"],
    groupsDomain: shape["groups-domain"],
    emailDomains: shape["email-domains"],
  };
}
