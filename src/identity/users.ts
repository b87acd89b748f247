import { command } from "../metadata/database.ts";
import { run } from "../metadata/statement.ts";

interface NewUser {
  email: string;
  /** Argon2id in its own encoding. */
  passwordHash: string;
  now: number;
}

export const createUser = command("identity.createUser", function* (input: NewUser) {
  yield* run(
    "INSERT INTO users (email, password_hash, created_at) VALUES (?, ?, ?)",
    input.email,
    input.passwordHash,
    input.now,
  );
});
