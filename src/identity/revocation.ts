import { command } from "../metadata/database.ts";
import { bumpVersion } from "../metadata/freshness.ts";
import { run } from "../metadata/statement.ts";

interface Revocation {
  tokenId: string;
  /** When the token would have ended, and the row may go. */
  expiresAt: number;
}

/** Ends a token, and with it whatever was made from it. */
export const revokeToken = command("identity.revokeToken", function* ({ tokenId, expiresAt }: Revocation) {
  yield* run(
    "INSERT INTO revoked_tokens (id, expires_at) VALUES (?, ?) ON CONFLICT (id) DO NOTHING",
    tokenId,
    expiresAt,
  );
  yield* bumpVersion("identity");
});

/** Forgets revocations of tokens that have ended by themselves. */
export const forgetRevocations = command("identity.forgetRevocations", function* ({ now }: { now: number }) {
  yield* run("DELETE FROM revoked_tokens WHERE expires_at < ?", now);
});
