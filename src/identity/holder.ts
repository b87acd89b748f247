import { z } from "zod";
import type { Origin } from "../access/caller.ts";
import type { Member } from "../names/members.ts";
import type { Principal } from "../names/principals.ts";

/** Whose a credential is and what stands behind it: what is looked at again each time that it is used. */
export interface Holder {
  principal: Principal;
  /** The unique id of the account, since an address may be given anew; empty for a caller unknown. */
  accountId: string;
  /** The service-account key that the credential goes back to; empty where it goes back to none. */
  keyId: string;
  /** The tokens that it goes back to, itself included: each can be revoked. */
  tokenIds: readonly string[];
  /** The principal sets that a federated credential puts its principal in. */
  sets: readonly Member[];
  /** Who acts as the principal, the nearest last. */
  delegation: readonly Principal[];
  /** The accounts that it was made by in turn: it ends when one of them does, or all that it was signed in with. */
  origins: readonly Origin[];
}

/** A holder as it stands in a token of ours, beside the registered claims. */
export const holderClaims = z.object({
  sub: z.string(),
  uid: z.string(),
  key: z.string(),
  ids: z.array(z.string()),
  sets: z.array(z.string()),
  act: z.array(z.string()),
  via: z.array(z.tuple([z.string(), z.number()])).default([]),
});

export function toClaims({ principal, accountId, keyId, tokenIds, sets, delegation, origins }: Holder) {
  const via = origins.map(({ accountId: id, issuedAt }): [string, number] => [id, issuedAt]);
  return { sub: principal, uid: accountId, key: keyId, ids: [...tokenIds], sets: [...sets], act: [...delegation], via };
}

export function fromClaims({ sub, uid, key, ids, sets, act, via }: z.infer<typeof holderClaims>): Holder {
  const origins = via.map(([accountId, issuedAt]) => ({ accountId, issuedAt }));
  return { principal: sub, accountId: uid, keyId: key, tokenIds: ids, sets, delegation: act, origins };
}
