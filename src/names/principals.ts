import { allUsers } from "./members.ts";

/** Who acts, as IAM writes a member: `serviceAccount:EMAIL`, `user:EMAIL`, or `allUsers` for a caller unknown. */
export type Principal = string;

export const anonymous: Principal = allUsers;

export function serviceAccountPrincipal(email: string): Principal {
  return `serviceAccount:${email}`;
}

export function userPrincipal(email: string): Principal {
  return `user:${email}`;
}
