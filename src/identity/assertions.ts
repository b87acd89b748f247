import { createPublicKey } from "node:crypto";
import { jwtVerify } from "jose";
import { z } from "zod";
import { keyIdOf } from "../keys/token-header.ts";
import type { Standing, UsableKey } from "./standing.ts";

/** The longest that an assertion may live, and how far the clocks of both sides may differ, in seconds. */
const maxLifetime = 3600;
export const clockSkew = 60;
const maxLength = 16 * 1024;

const claimsShape = z.object({
  iss: z.string(),
  sub: z.string().optional(),
  aud: z.string().optional(),
  iat: z.number(),
  exp: z.number(),
  scope: z.string().optional(),
  target_audience: z.string().optional(),
});

/** What a service account has signed with one of its keys. Times are in seconds. */
export type Assertion = z.infer<typeof claimsShape> & { key: UsableKey };

/**
 * Reads a JWT that a service account signed; `undefined` unless a registered key of that account, which its header
 * names, made it with RS256 and it is no longer than an hour good. What it is good for is for its audience to check.
 * [Google, "Using OAuth 2.0 for Server to Server Applications"]
 */
export async function readAssertion(text: string, standing: Standing, now: number): Promise<Assertion | undefined> {
  if (text.length > maxLength) return undefined;
  try {
    const key = await standing.usableKey(keyIdOf(text));
    if (key === undefined || key.expiresAt <= now) return undefined;
    const { payload } = await jwtVerify(text, createPublicKey(key.publicKey), {
      algorithms: ["RS256"],
      currentDate: new Date(now),
      clockTolerance: clockSkew,
    });
    const claims = claimsShape.parse(payload);
    const isItsOwn = [key.email, key.accountId].includes(claims.iss);
    const isLate = claims.iat > now / 1000 + clockSkew;
    const isLong = claims.exp - claims.iat > maxLifetime + clockSkew;
    return isItsOwn && !isLate && !isLong ? { ...claims, key } : undefined;
  } catch {
    return undefined;
  }
}
