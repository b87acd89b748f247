import { type Actor, recordChange } from "../access/audit/audit-log.ts";
import { command } from "../metadata/database.ts";
import { bumpVersion } from "../metadata/freshness.ts";
import { accessTokenSeconds } from "./token-lifetimes.ts";
import { run } from "../metadata/statement.ts";

interface Revocation {
  tokenId: string;
  /** When the last of what was made from it will have ended, and the row may go. */
  expiresAt: number;
  /** Whose it is, in the call that ends it. */
  actor: Actor;
  now: number;
}

/** Tokens that one may go back to, each made with the one before it. */
export const longestChain = 20;

/** In ms: what was made from a token, and from that, may all live an hour each. */
export const revocationLifetime = (longestChain + 1) * accessTokenSeconds * 1000;

/** Ends a token, and with it whatever was made from it. */
export const revokeToken = command("identity.revokeToken", function* (input: Revocation) {
  const { tokenId, expiresAt, actor, now } = input;
  yield* run(
    "INSERT INTO revoked_tokens (id, expires_at) VALUES (?, ?) ON CONFLICT (id) DO NOTHING",
    tokenId,
    expiresAt,
  );
  yield* bumpVersion("identity");
  yield* recordChange(actor, `//oauth2.googleapis.com/tokens/${actor.principal}`, { change: "revoked" }, now);
});

/** Forgets revocations of tokens that have ended by themselves. */
export const forgetRevocations = command("identity.forgetRevocations", function* ({ now }: { now: number }) {
  yield* run("DELETE FROM revoked_tokens WHERE expires_at < ?", now);
});
