import { allUsers } from "./members.ts";

/**
 * Who acts, as IAM writes a member: `serviceAccount:EMAIL`, `user:EMAIL`, `principal://…` for somebody of a workload
 * identity pool, or `allUsers` for a caller unknown.
 */
export type Principal = string;

export const anonymous: Principal = allUsers;

export function serviceAccountPrincipal(email: string): Principal {
  return `serviceAccount:${email}`;
}

export function userPrincipal(email: string): Principal {
  return `user:${email}`;
}

/** The e-mail address of a principal that has one. */
export function emailOf(principal: Principal): string | undefined {
  return /^(?:serviceAccount|user):(.+)$/s.exec(principal)?.[1];
}
